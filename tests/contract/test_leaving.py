"""The contract of an engine, third part: however the block is left, nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.support import programs
from tests.support.harness import Harness, bounded, endless

from wherry import streams
from wherry.models import Exit, Output

if TYPE_CHECKING:
    from tests.support.programs import Program


class BlockError(Exception):
    pass


LIVELY = [programs.WITH_CHILDREN, programs.ENDLESS, programs.PARTIAL, programs.CAT]
EVERY_KIND = pytest.mark.parametrize("program", LIVELY, ids=lambda program: program.argv[-1][:12])


@EVERY_KIND
@bounded
async def test_an_error_in_the_block_comes_out_as_itself(
    harness: Harness, program: Program
) -> None:
    error = BlockError("mine")
    with pytest.raises(BlockError) as caught:  # noqa: PT012 - the block is what is tested
        async with harness.start(program, endless()) as container:
            await anext(aiter(container))
            raise error
    assert caught.value is error
    assert error.__cause__ is None
    assert await harness.leftovers() == []


@EVERY_KIND
@bounded
async def test_breaking_out_of_the_loop_leaves_nothing_behind(
    harness: Harness, program: Program
) -> None:
    async with harness.start(program, endless()) as container:
        async for event in container:
            assert isinstance(event, Output)
            break
    assert await harness.leftovers() == []


@EVERY_KIND
@bounded
async def test_a_cancelled_caller_leaves_nothing_behind(harness: Harness, program: Program) -> None:
    begun = asyncio.Event()

    async def call() -> None:
        async with harness.start(program, endless()) as container:
            async for _ in container:
                begun.set()

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert await harness.leftovers() == []


@pytest.mark.parametrize("steps", range(8))
@bounded
async def test_a_caller_cancelled_while_it_starts_leaves_nothing_behind(
    harness: Harness, steps: int
) -> None:
    task = asyncio.create_task(harness.run(programs.SLEEP, endless()))
    await asyncio.sleep(steps * 0.004)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await harness.leftovers() == []


@bounded
async def test_leaving_the_block_unread_leaves_nothing_behind(harness: Harness) -> None:
    async with harness.start(programs.ENDLESS, endless()):
        pass
    assert await harness.leftovers() == []


@bounded
async def test_a_finished_call_leaves_nothing_behind(harness: Harness) -> None:
    for program, code in ((programs.TRUE, 0), (programs.OUT_ERR_3, 3)):
        assert (await harness.run(program)).exit == Exit(code)
        assert await harness.leftovers() == []


@bounded
async def test_closing_the_engine_ends_what_still_runs(harness: Harness) -> None:
    started = asyncio.Event()

    async def call() -> None:
        async with harness.start(programs.SLEEP) as container:
            started.set()
            await streams.collect(container)

    task = asyncio.create_task(call())
    await started.wait()
    await harness.engine.aclose()
    await asyncio.wait([task])
    await harness.engine.aclose()
    task.exception()
    assert await harness.leftovers() == []
