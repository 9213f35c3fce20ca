"""The end of a call: what is over with it, and what the kernel may still be taking apart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.harness import silent
from tests.support.local_calls import Calls, calls_on, function_of
from tests.support.local_harness import harness_of, of_this_engine

from wherry import streams
from wherry.models import Exit, Invocation, Mount


@pytest.fixture
async def calls(local_data: Path) -> AsyncIterator[Calls]:
    async with calls_on(local_data) as calls:
        yield calls


@pytest.fixture
def shared(calls: Calls) -> Path:
    """A directory of the host that a container may write to."""
    path = calls.data / "shared"
    path.mkdir()
    if calls.engine.settings.sandbox is not None:
        os.chown(path, *calls.engine.settings.sandbox)
    return path


async def test_what_a_program_leaves_behind_writes_no_more_when_the_call_is_over(
    calls: Calls, shared: Path
) -> None:
    mounts = (Mount(source=str(shared), target="/shared", read_only=False),)
    script = "while :; do date >>/shared/log; done & while ! [ -s /shared/log ]; do :; done; exit 3"
    for _ in range(5):
        result = await calls.sh(script, mounts=mounts)
        size = (shared / "log").stat().st_size
        assert result.exit == Exit(3)
        assert of_this_engine(calls.engine) == []
        assert size == (shared / "log").stat().st_size


async def test_what_a_program_leaves_behind_does_not_keep_its_caller_waiting(calls: Calls) -> None:
    async with asyncio.timeout(30):
        result = await calls.sh("sleep 3600 & echo said", stdin=silent())
    assert (result.stdout, result.exit) == (b"said\n", Exit(0))


async def test_all_that_a_program_wrote_comes_before_its_exit(calls: Calls) -> None:
    zeros = "head -c 60000 /dev/zero"
    for _ in range(10):
        async with calls.start("sh", "-c", f"sleep 3600 & {zeros}; {zeros} >&2") as container:
            await container.sandbox.wait()  # type: ignore[attr-defined]
            result = await streams.collect(container)
        assert (len(result.stdout), len(result.stderr), result.exit) == (60000, 60000, Exit(0))


async def test_an_engine_that_is_closed_has_nothing_left(local_data: Path) -> None:
    async with calls_on(local_data) as calls:
        await calls.run("true")
        harness = harness_of(calls.engine, local_data)
        await asyncio.gather(*(calls.run("true") for _ in range(8)))
        await calls.engine.aclose()
        assert of_this_engine(calls.engine) == []
        assert calls.engine.cgroups.find(f"{os.getpid()}-") == []
        assert await harness.leftovers() == []


async def test_the_same_invocation_can_be_started_again_as_soon_as_it_is_over(calls: Calls) -> None:
    invocation = Invocation(function=function_of("echo", "again"))
    for _ in range(10):
        async with calls.engine.start(invocation, streams.NOTHING) as container:
            assert (await streams.collect(container)).stdout == b"again\n"


async def test_an_event_loop_that_ends_with_the_call_leaves_nothing(local_data: Path) -> None:
    async with calls_on(local_data) as calls:
        await calls.run("true")
        await calls.engine.settled()
        await asyncio.to_thread(lambda: asyncio.run(_called_once(calls)))
        assert of_this_engine(calls.engine) == []
        assert calls.engine.cgroups.find(f"{os.getpid()}-") == []


async def _called_once(calls: Calls) -> None:
    assert (await calls.run("true")).exit == Exit(0)


async def test_a_signal_after_the_program_has_ended_reaches_nobody(calls: Calls) -> None:
    async with calls.start("sh", "-c", "sleep 3600 & exit 4") as container:
        result = await streams.collect(container)
        for number in (1, 15, 9):
            await container.kill(number)
    await container.kill()
    assert result.exit == Exit(4)
