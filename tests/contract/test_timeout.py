"""The contract of an engine inside of the client's own wrappers: timeouts and output limits."""

from __future__ import annotations

import asyncio

from tests.support import programs
from tests.support.harness import Harness, bounded, endless, silent

from wherry import streams
from wherry.models import Exit, Limits
from wherry.wrappers.deadline import Deadline
from wherry.wrappers.limit import Limit


@bounded
async def test_a_timeout_keeps_partial_output_and_is_the_reason_of_the_exit(
    harness: Harness,
) -> None:
    engine = Deadline(harness.engine)
    await engine.prepare(harness.invocation(programs.PARTIAL).function)
    invocation = harness.invocation(programs.PARTIAL, limits=Limits(timeout=harness.timeout))
    begun = asyncio.get_running_loop().time()
    async with engine.start(invocation, silent()) as container:
        result = await streams.collect(container)
    assert (result.stdout, result.stderr) == (b"partial\n", b"trouble\n")
    assert result.exit == Exit(137, "timeout")
    assert asyncio.get_running_loop().time() - begun >= harness.timeout
    assert await harness.leftovers() == []


@bounded
async def test_a_timeout_ends_a_program_that_nobody_reads(harness: Harness) -> None:
    engine = Deadline(harness.engine)
    invocation = harness.invocation(programs.ENDLESS, limits=Limits(timeout=harness.timeout))
    async with engine.start(invocation, endless()) as container:
        await asyncio.sleep(harness.timeout + 0.3)
        events = [event async for event in container]
    assert events[-1] == Exit(137, "timeout")
    assert await harness.leftovers() == []


@bounded
async def test_a_program_that_ends_in_time_does_not_notice_its_timeout(harness: Harness) -> None:
    invocation = harness.invocation(programs.OUT_ERR_3, limits=Limits(timeout=harness.patience))
    async with Deadline(harness.engine).start(invocation, streams.NOTHING) as container:
        assert (await streams.collect(container)).exit == Exit(3)


@bounded
async def test_stdout_above_its_limit_ends_the_program(harness: Harness) -> None:
    invocation = harness.invocation(programs.ENDLESS, limits=Limits(stdout=100_000))
    async with Limit(harness.engine).start(invocation, streams.NOTHING) as container:
        result = await streams.collect(container)
    assert result.stdout == bytes(100_000)
    assert result.exit.reason == "output"
    assert await harness.leftovers() == []
