"""Services of a real Swarm of one node: run once, started anew, and by their labels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.dockerd import Dockerd, running_dockerd

from wherry.engines.docker.address import Address
from wherry.engines.docker.engine import DockerEngine
from wherry.engines.docker.services import tasks_of
from wherry.errors import EngineError, StartError, Unsupported
from wherry.models import Exit
from wherry.server.services import EngineServices
from wherry.triggers.cron import swarm
from wherry.triggers.cron.checking import checked
from wherry.triggers.cron.jobs import Jobs
from wherry.triggers.cron.model import Definition
from wherry.triggers.cron.outputs import Outputs
from wherry.triggers.cron.performing import StillRuns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.root
_INIT = {"ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1:2377",
         "DataPathAddr": "127.0.0.1"}  # fmt: skip


@pytest.fixture(scope="module")
def manager(environment: Path) -> Iterator[Dockerd]:
    """A private daemon that is no manager yet."""
    with running_dockerd() as daemon:
        yield daemon


@pytest.fixture
async def engine(manager: Dockerd) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(Address(scheme="unix", path=str(manager.socket)))
    yield engine
    await engine.aclose()


@pytest.fixture
async def managed(engine: DockerEngine) -> DockerEngine:
    """The engine as a manager of its own Swarm."""
    if (await engine.client.call("GET", "/info"))["Swarm"]["LocalNodeState"] != "active":
        await engine.client.call("POST", "/swarm/init", data=_INIT)
    return engine


def services_of(engine: DockerEngine) -> EngineServices:
    found = EngineServices.of(engine)
    assert found is not None
    return found


async def ran(engine: DockerEngine, definition: Definition) -> tuple[Exit, bytes, bytes]:
    nobody: Any = None
    jobs = Jobs(service=nobody, client=nobody, services=services_of(engine))
    assert "service-run" in jobs.kinds
    outputs = Outputs()
    came = await jobs(checked(definition), id="x", write=outputs.add)
    return came, outputs.stdout, outputs.stderr


def once(script: str, **more: Any) -> Definition:
    given = {"image": "busybox", "command": ["sh", "-c", script], **more}
    return Definition(name="j", schedule="@daily", kind="service-run", **given)


async def deployed(
    engine: DockerEngine, name: str, script: str, *, labels: dict[str, str] | None = None,
    restart: str = "none", mode: dict[str, Any] | None = None,
) -> Definition:  # fmt: skip
    """Make a service as those of swarm-cronjob are made: without a task of its own."""
    spec = {
        "Name": name, "Labels": labels or {},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox", "Command": ["sh", "-c", script],
                              "StopSignal": "SIGKILL"},
            "RestartPolicy": {"Condition": restart},
        },
        "Mode": mode or {"Replicated": {"Replicas": 0}},
    }  # fmt: skip
    await engine.client.call("POST", "/services/create", data=spec)
    return Definition(name=name, schedule="@daily", kind="service-run", service=name)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_an_engine_that_is_no_manager_says_so(engine: DockerEngine) -> None:
    if (await engine.client.call("GET", "/info"))["Swarm"]["LocalNodeState"] == "active":
        pytest.fail("this test has to be the first of its module")
    with pytest.raises(EngineError, match="not a swarm manager"):
        await ran(engine, once("true"))
    with pytest.raises(EngineError, match="not a swarm manager"):
        await services_of(engine).look()


async def test_an_image_is_run_as_a_service_with_its_real_exit_code_and_output(
    managed: DockerEngine,
) -> None:
    script = "echo $A; id -u >&2; exit 7"
    came = await ran(managed, once(script, env={"A": "out"}, user="1234"))
    assert came == (Exit(7), b"out\n", b"1234\n")
    assert await ran(managed, once("true")) == (Exit(0), b"", b"")
    assert await managed.client.call("GET", "/services") == []


async def test_a_task_that_cannot_be_started_is_an_error_with_its_reason(
    managed: DockerEngine,
) -> None:
    with pytest.raises(StartError, match=r"was rejected: .*no-such"):
        await ran(managed, Definition(name="j", schedule="@daily", kind="service-run",
                                      image="no-such.invalid/image"))  # fmt: skip
    assert await managed.client.call("GET", "/services") == []


async def test_a_service_is_started_anew_each_time_and_labels_declare_it(
    managed: DockerEngine,
) -> None:
    labels = {"swarm.cronjob.enable": "true", "swarm.cronjob.schedule": "0 * * * *",
              "swarm.cronjob.skip-running": "true", "swarm.cronjob.replicas": "2"}  # fmt: skip
    await deployed(managed, "labelled", "echo out; exit 3", labels=labels)
    await deployed(managed, "other", "true", labels={"swarm.cronjob.enable": "false"})
    declared = swarm.declared_by(await services_of(managed).look())
    (definition,) = declared.definitions
    assert (definition.service, definition.replicas, declared.wrong) == ("labelled", 2, {})
    for _ in range(2):
        assert await ran(managed, definition) == (Exit(3), b"out\nout\n", b"")


async def test_a_service_in_job_mode_is_started_anew_too(managed: DockerEngine) -> None:
    mode = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 0}}
    definition = await deployed(managed, "job", "echo job", mode=mode)
    for _ in range(2):
        assert await ran(managed, definition) == (Exit(0), b"job\n", b"")


async def test_a_service_that_is_left_is_stopped_and_a_running_one_is_not_begun_twice(
    managed: DockerEngine,
) -> None:
    definition = await deployed(managed, "long", "sleep 600")

    async def states() -> set[str]:
        return {task["Status"]["State"] for task in await tasks_of(managed.client, "long")}

    async def is_running() -> bool:
        return "running" in await states()

    async def is_over() -> bool:
        return not await is_running()

    running = asyncio.create_task(ran(managed, definition))
    await until(is_running)
    with pytest.raises(StillRuns, match="has tasks that run still"):
        await ran(managed, definition)
    running.cancel()
    await asyncio.wait([running])
    found = await managed.client.call("GET", "/services/long")
    assert found["Spec"]["Mode"] == {"Replicated": {"Replicas": 0}}
    await until(is_over)


async def test_a_service_that_would_never_end_is_refused(managed: DockerEngine) -> None:
    endless = await deployed(managed, "endless", "true", restart="any")
    with pytest.raises(Unsupported, match=r"restarts by itself \(condition 'any'"):
        await ran(managed, endless)
    await deployed(managed, "everywhere", "sleep 600", mode={"Global": {}})
    everywhere = Definition(name="e", schedule="@daily", kind="service-run", service="everywhere",
                            overlap="replace")  # fmt: skip
    with pytest.raises(Unsupported, match="is global"):
        await ran(managed, everywhere)
