"""What containers take, by control groups, by processes, and by a Docker engine's account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.local_harness import data_directory, local_engine

from wherry import streams
from wherry.client import AsyncClient
from wherry.engines.docker.address import Address
from wherry.engines.docker.engine import DockerEngine
from wherry.engines.local.cgroup import Cgroups, Support
from wherry.models import Function, Invocation, Output, Ready

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

    from wherry.engines.base import Usage, UsageEngine
    from wherry.engines.local.engine import LocalEngine

MIB = 1 << 20
PATIENCE = 60.0
BUSY = Function(
    name="busy", image="busybox", command=("sh", "-c", "echo up; while :; do true; done")
)
LARGE = Function(
    name="large",
    image="busybox",
    command=("sh", "-c", "head -c 33554432 /dev/zero > /x; echo up; cat"),
)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with data_directory() as data:
        local_engine(data)
        yield data


@pytest.fixture(params=["cgroup", "processes"])
async def local(data: Path, request: pytest.FixtureRequest) -> AsyncIterator[LocalEngine]:
    engine = local_engine(data)
    if request.param == "processes":
        engine.__dict__["cgroups"] = Cgroups(Support(layout="none", reason="there is none"))
    yield engine
    await engine.aclose()


async def until_more(engine: UsageEngine, *, than: float) -> Usage:
    """Look until the busy container has used so many CPU seconds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (found,) = await engine.usage("busy")
            if found.cpu_seconds > than:
                return found
            await asyncio.sleep(0.02)


async def check_busy(engine: UsageEngine) -> None:
    assert await engine.usage("busy") == []
    async with engine.start(Invocation(function=BUSY, id="one"), streams.NOTHING) as container:
        assert await anext(aiter(container)) == Output("stdout", b"up\n")
        first = await until_more(engine, than=0.0)
        assert first.id == "one"
        assert 0 < first.memory < 64 * MIB
        assert (await until_more(engine, than=first.cpu_seconds + 0.1)).cpu_seconds < 2 * PATIENCE
        assert await engine.usage("other") == []
    assert await engine.usage("busy") == []


async def test_a_local_container_that_is_busy_uses_cpu(local: LocalEngine) -> None:
    await check_busy(local)


async def test_what_a_local_container_wrote_to_memory_is_its_memory(local: LocalEngine) -> None:
    async with local.start(Invocation(function=LARGE), silent()) as container:
        assert await anext(aiter(container)) == Output("stdout", b"up\n")
        (found,) = await local.usage("large")
    counted = local.cgroups.support.memory
    assert (found.memory > 32 * MIB) is counted
    assert 0 < found.memory < 64 * MIB


async def silent() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def test_ready_containers_count_and_the_client_hands_it_on(local: LocalEngine) -> None:
    client = AsyncClient(local)
    function = Function(name="cat", image="busybox", command=("cat",), ready=Ready(min=2))
    assert await client.usage("cat") == []
    await client.prepare(function)
    found = await client.usage("cat")
    assert len(found) == 2
    assert all(each.memory > 0 for each in found)
    await client.forget("cat")
    assert await client.usage("cat") == []


@pytest.mark.root
async def test_a_docker_container_that_is_busy_uses_cpu(dockerd: Dockerd) -> None:
    engine = DockerEngine(Address(scheme="unix", path=str(dockerd.socket)))
    try:
        await check_busy(engine)
    finally:
        await engine.aclose()
