"""What an operator does with an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from wherry import streams
from wherry.engines.docker.address import Address
from wherry.engines.docker.engine import DockerEngine
from wherry.engines.docker.failures import Refused
from wherry.engines.docker.options import Profile
from wherry.models import Exit, Function, Invocation, Output

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    address = Address(scheme="unix", path=str(dockerd.socket))
    engine = DockerEngine(address, profile=Profile(log_driver="json-file"))
    yield engine
    await engine.aclose()


def call(script: str, **labels: str) -> Invocation:
    command = ("sh", "-c", script)
    return Invocation(function=Function(name="f", image="busybox", command=command, labels=labels))


async def test_containers_are_listed_by_label_and_inspected(engine: DockerEngine) -> None:
    manage = engine.management
    async with engine.start(call("sleep 60", mine="1"), streams.NOTHING) as container:
        (found,) = await manage.list(labels={"mine": "1", "wherry.invocation": None})
        assert (found.name, found.state) == (container.name, "running")
        assert found.labels["wherry.invocation"] == container.id
        assert await manage.list(labels={"mine": "2"}) == []
        known = await manage.inspect(found.id)
        assert (known.image, known.exit_code, known.oom_killed) == ("busybox", None, False)
        assert known.pid
        await manage.kill(container.name)
        assert (await streams.collect(container)).exit.code == 137
        await manage.kill(container.name)
        assert (await manage.inspect(container.name)).exit_code == 137
        assert await manage.list(labels={"mine": "1"}) == []
        assert len(await manage.list(stopped=True, labels={"mine": "1"})) == 1
    await engine.settled()
    with pytest.raises(Refused) as caught:
        await manage.inspect(container.name)
    assert caught.value.status == 404


async def test_logs_are_followed_to_the_end(engine: DockerEngine) -> None:
    script = "echo one; echo two >&2; sleep 0.3; echo three"
    async with engine.start(call(script), streams.NOTHING) as container:
        said = [output async for output in engine.management.logs(container.name, follow=True)]
        assert b"".join(o.data for o in said if o.stream == "stdout") == b"one\nthree\n"
        assert b"".join(o.data for o in said if o.stream == "stderr") == b"two\n"
        (last,) = [output async for output in engine.management.logs(container.name, tail=1)]
        assert last == Output("stdout", b"three\n")


async def test_one_more_program_runs_in_a_container(engine: DockerEngine) -> None:
    async with engine.start(call("sleep 60"), streams.NOTHING) as container:
        async with engine.management.exec(
            container.name,
            ("sh", "-c", "tr a-z A-Z; echo $A; pwd >&2; exit 4"),
            stdin=streams.source("typed "),
            env={"A": "b"},
            workdir="/var",
        ) as execution:
            events = [event async for event in execution]
        assert events[-1] == Exit(4)
        outputs = [event for event in events if isinstance(event, Output)]
        assert b"".join(o.data for o in outputs if o.stream == "stdout") == b"TYPED b\n"
        assert b"".join(o.data for o in outputs if o.stream == "stderr") == b"/var\n"


async def test_stop_asks_first(engine: DockerEngine) -> None:
    script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    async with engine.start(call(script), streams.NOTHING) as container:
        events = aiter(container)
        assert await anext(events) == Output("stdout", b"ready\n")
        await engine.management.stop(container.name, grace=5)
        assert [event async for event in events] == [Output("stdout", b"asked\n"), Exit(7)]
        await engine.management.stop(container.name)


async def test_events_tell_a_containers_whole_life(engine: DockerEngine) -> None:
    seen: list[str] = []

    async def watch() -> None:
        async for happening in engine.management.events(labels={"watched": "yes"}):
            seen.append(happening.action)
            assert happening.attributes["watched"] == "yes"
            if happening.action == "destroy":
                return

    watching = asyncio.create_task(watch())
    while not seen:  # the subscription is there when a first container is seen
        async with engine.start(call("true", watched="yes"), streams.NOTHING) as container:
            await streams.collect(container)
    async with asyncio.timeout(10):
        await watching
    assert seen[-1] == "destroy"
    assert {"start", "die"} <= set(seen)


async def test_the_engine_says_what_it_is(engine: DockerEngine) -> None:
    info = await engine.management.info()
    assert info.server_version
    assert info.cpus > 0
    assert info.memory > 0
    assert not info.swarm
    assert float(await engine.management.version()) >= 1.41
