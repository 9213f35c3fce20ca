"""Jobs in containers of a real Docker engine: by name, started once more, and by their labels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from wherry import streams
from wherry.engines.docker.address import Address
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import Conflict
from wherry.models import Exit, Function, Invocation
from wherry.server.containers import EngineContainers
from wherry.triggers.cron import labels
from wherry.triggers.cron.checking import checked
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.jobs import Events, Jobs
from wherry.triggers.cron.model import Definition, Run
from wherry.triggers.cron.outputs import Outputs
from wherry.triggers.cron.performing import perform

if TYPE_CHECKING:
    from typing import Any

    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root
LABELS = {"ofelia.enabled": "true", "ofelia.job-exec.date.schedule": "@daily",
          "ofelia.job-exec.date.command": "sh -c 'echo out; echo err >&2; exit 5'"}  # fmt: skip


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(Address(scheme="unix", path=str(dockerd.socket)))
    yield engine
    await engine.aclose()


@pytest.fixture
def containers(engine: DockerEngine) -> EngineContainers:
    found = EngineContainers.of(engine)
    assert found is not None
    return found


def jobs_of(containers: EngineContainers) -> Jobs:
    nobody: Any = None
    return Jobs(service=nobody, client=nobody, containers=containers)


async def made(engine: DockerEngine, script: str) -> str:
    """Make a container that is not started, and return its id."""
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script]}
    answer = await engine.client.call("POST", "/containers/create", data=body)
    return str(answer["Id"])


async def test_a_program_runs_in_the_container_whose_labels_declare_it(
    engine: DockerEngine, containers: EngineContainers
) -> None:
    function = Function(name="f", image="busybox", command=("sleep", "600"), labels=LABELS)
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        declared = labels.declared_by(await containers.look())
        (definition,) = declared.definitions
        assert definition.name == f"{container.name}.date"
        outputs = Outputs()
        jobs = jobs_of(containers)
        came = await jobs(checked(definition), id="x", write=outputs.add)
        assert (came, outputs.stdout, outputs.stderr) == (Exit(5), b"out\n", b"err\n")


async def test_a_stopped_container_is_started_once_more_each_time(
    engine: DockerEngine, containers: EngineContainers
) -> None:
    id_ = await made(engine, "echo x >> /count; wc -l < /count; echo err >&2; exit 4")
    definition = Definition(name="j", schedule="@daily", kind="run", container=id_)
    try:
        for count in (b"1\n", b"2\n"):
            outputs = Outputs()
            came = await jobs_of(containers)(checked(definition), id="x", write=outputs.add)
            assert (came, outputs.stdout, outputs.stderr) == (Exit(4), count, b"err\n")
    finally:
        await engine.management.remove(id_, force=True)


async def test_a_container_that_is_left_is_killed_and_one_that_runs_is_refused(
    engine: DockerEngine, containers: EngineContainers
) -> None:
    id_ = await made(engine, "echo up; exec sleep 600")
    try:
        async with containers.start(id_) as events:
            assert await first(events) == b"up\n"
            with pytest.raises(Conflict, match="is running; it has to be stopped"):
                async with containers.start(id_):
                    pass
        assert (await engine.management.inspect(id_)).exit_code == 137
    finally:
        await engine.management.remove(id_, force=True)


async def first(events: Events) -> bytes:
    async for event in events:
        assert not isinstance(event, Exit)
        return event.data
    raise AssertionError


async def test_a_program_in_a_container_is_killed_at_its_timeout_with_all_it_started(
    engine: DockerEngine, containers: EngineContainers
) -> None:
    function = Function(name="f", image="busybox", command=("sleep", "600"))
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        definition = Definition(
            name="j", schedule="@daily", kind="exec", container=container.name, timeout=1.0,
            command=["sh", "-c", "(trap '' TERM; sleep 601) & echo up; exec sleep 602"],
        )  # fmt: skip
        run = Run(number=1, id="r", name="j", cause="time", scheduled=0.0, status="running")
        clock = WallClock()
        ended = await perform(checked(definition), run, do=jobs_of(containers), clock=clock)
        clock.close()
        assert (ended.status, ended.stdout) == ("timed out", b"up\n")
        answer = await engine.client.call("GET", f"/containers/{container.name}/top")
        left = [process[-1] for process in answer["Processes"]]
        assert left == ["/sbin/docker-init -- sleep 600", "sleep 600"]


async def test_a_container_without_a_shell_lets_its_program_go_on_and_says_so(
    engine: DockerEngine, containers: EngineContainers, caplog: pytest.LogCaptureFixture
) -> None:
    function = Function(name="f", image="busybox", command=("sleep", "600"))
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        remove = ["rm", "/bin/sh"]
        async with containers.exec(container.name, remove, stdin=streams.NOTHING) as events:
            assert [event async for event in events] == [Exit(0)]
        asked = containers.exec(container.name, ["sleep", "603"], stdin=streams.NOTHING)
        async with asked:
            pass
        assert "a program goes on in its container" in caplog.text
