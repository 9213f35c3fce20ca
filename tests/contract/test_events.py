"""The contract of an engine, first part: output, exit, kill, failure."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from tests.support import programs
from tests.support.harness import Harness, bounded
from tests.support.programs import MIB, Program

from wherry import streams
from wherry.errors import EngineError, ImageNotFound, ProgramNotFound, Unsupported
from wherry.models import Exit, Function, Invocation, Limits, Output

if TYPE_CHECKING:
    from wherry.engines.base import Event


@pytest.mark.parametrize(
    ("program", "size", "ended"),
    [(programs.INTERLEAVED, MIB, Exit(0)), (programs.OUT_ERR_3, 4, Exit(3))],
    ids=["a lot", "a little"],
)
@bounded
async def test_exit_comes_last_and_once_after_all_output_of_both_streams(
    harness: Harness, program: Program, size: int, ended: Exit
) -> None:
    async with harness.start(program) as container:
        await asyncio.sleep(0.1)  # a small program has ended by now, and is read all the same
        events = [event async for event in container]
    assert [event for event in events if isinstance(event, Exit)] == [events[-1]] == [ended]
    outputs = [event for event in events if isinstance(event, Output)]
    assert all(event.data for event in outputs)
    for name in ("stdout", "stderr"):
        assert sum(len(event.data) for event in outputs if event.stream == name) == size


@pytest.mark.parametrize("program", [programs.CLOSES_STDOUT, programs.CLOSES_STDERR])
@bounded
async def test_exit_waits_for_one_stream_after_the_other_has_closed_early(
    harness: Harness, program: Program
) -> None:
    result = await harness.run(program)
    assert (result.stdout, result.stderr, result.exit) == (b"out\n", b"err\n", Exit(4))


@bounded
async def test_a_non_zero_exit_is_an_event_and_the_streams_stay_apart(harness: Harness) -> None:
    result = await harness.run(programs.OUT_ERR_3)
    assert (result.stdout, result.stderr, result.exit) == (b"out\n", b"err\n", Exit(3))


@pytest.mark.parametrize("code", [0, 1, 42, 255])
@bounded
async def test_every_exit_code_arrives_as_it_is(harness: Harness, code: int) -> None:
    assert (await harness.run(programs.sh(f"exit {code}"))).exit == Exit(code)


@bounded
async def test_arguments_and_environment_reach_the_program(harness: Harness) -> None:
    function = Function(
        name="contract",
        image=harness.image,
        command=programs.VARIABLES.argv,
        env={"GREETING": "hello", "NAME": "nobody"},
    )
    invocation = Invocation(function=function, env={"NAME": "a  'quoted'\nworld"})
    async with harness.engine.start(invocation, streams.NOTHING) as container:
        assert (await streams.collect(container)).stdout == b"hello, a  'quoted'\nworld\n"
    function = Function(name="contract", image=harness.image, command=("echo", "-n"))
    invocation = Invocation(function=function, args=("", "two words", "$HOME;", "ünïcode"))
    async with harness.engine.start(invocation, streams.NOTHING) as container:
        got = (await streams.collect(container)).stdout
    assert got.decode() == " two words $HOME; ünïcode"


@pytest.mark.parametrize("program", [programs.STDERR_FIRST, programs.INTERLEAVED])
@bounded
async def test_an_unread_stream_cannot_block_the_other(harness: Harness, program: Program) -> None:
    read = 0
    async with harness.start(program) as container:
        async for event in container:
            match event:
                case Output("stdout", data):
                    read += len(data)
                case Exit() as ended:
                    assert ended == Exit(0)
    assert read == MIB


@bounded
async def test_a_slow_reader_stops_the_writer(harness: Harness) -> None:
    async with harness.start(programs.ENDLESS) as container:
        events = aiter(container)
        assert isinstance(await anext(events), Output)
        await asyncio.sleep(0.3)
        await container.kill()
        await asyncio.sleep(0.2)  # on a busy machine it writes on for a while
        rest = 0
        async for event in events:
            rest += len(event.data) if isinstance(event, Output) else 0
    assert rest <= harness.in_flight


@bounded
async def test_kill_ends_the_program_and_its_exit_says_so(harness: Harness) -> None:
    async with harness.start(programs.PARTIAL) as container:
        events = aiter(container)
        await anext(events)
        await container.kill()
        rest = [event async for event in events]
    assert rest[-1] == Exit(137, "killed")


@bounded
async def test_kill_is_idempotent_and_harmless_after_the_end(harness: Harness) -> None:
    async with harness.start(programs.SLEEP) as container:
        await asyncio.gather(container.kill(), container.kill(), container.kill())
        await container.kill()
        assert (await streams.collect(container)).exit == Exit(137, "killed")
        await container.kill()
        await container.kill(signal.SIGTERM)
    await container.kill()
    async with harness.start(programs.OUT_ERR_3) as container:
        assert (await streams.collect(container)).exit == Exit(3)
        await container.kill()


@bounded
async def test_a_signal_reaches_the_program(harness: Harness) -> None:
    async with harness.start(programs.TRAPS_TERM) as container:
        events = aiter(container)
        assert await anext(events) == Output("stdout", b"ready\n")
        await container.kill(signal.SIGTERM)
        assert [event async for event in events] == [Output("stdout", b"stopping\n"), Exit(5)]


@bounded
async def test_the_programs_end_is_the_end_of_its_children(harness: Harness) -> None:
    result = await harness.run(programs.CHILD_OUTLIVES)
    assert (result.stdout, result.exit) == (b"done\n", Exit(6))
    assert await harness.leftovers() == []


@bounded
async def test_an_engine_that_cannot_work_raises_engine_error(harness: Harness) -> None:
    broken = harness.unavailable()
    with pytest.raises(EngineError):
        async with broken.start(harness.invocation(programs.TRUE), streams.NOTHING):
            raise AssertionError("a container that cannot exist")
    await broken.aclose()


@bounded
async def test_no_exit_is_invented_when_the_engine_fails(harness: Harness) -> None:
    events: list[Event] = []
    with pytest.raises(EngineError):  # noqa: PT012 - the block is what is tested
        async with harness.start(programs.PARTIAL) as container:
            async for event in container:
                if not events:
                    await harness.cut(container)
                events.append(event)
    assert events
    assert not [event for event in events if isinstance(event, Exit)]


@bounded
async def test_every_container_carries_its_invocation_id(harness: Harness) -> None:
    invocation = harness.invocation(programs.SLEEP)
    async with harness.engine.start(invocation, streams.NOTHING) as container:
        assert container.id == invocation.id
        assert invocation.id in await harness.ids()
    assert invocation.id not in await harness.ids()


@bounded
async def test_out_of_memory_is_told_apart_from_an_ordinary_137(harness: Harness) -> None:
    ordinary = (await harness.run(programs.EXIT_137)).exit
    assert ordinary.code == 137
    assert ordinary.reason in {"exited", "signal"}
    limits = Limits(memory=32 * MIB)
    hungry = harness.engine.start(
        harness.invocation(programs.TOO_HUNGRY, limits=limits), streams.NOTHING
    )
    if harness.cannot_tell_oom:
        with pytest.raises(Unsupported, match="memory"):
            async with hungry:
                raise AssertionError("a limit that was set must not be ignored")
        return
    async with hungry as container:
        assert (await streams.collect(container)).exit == Exit(137, "oom")


@bounded
async def test_an_image_that_nobody_has_is_named(harness: Harness) -> None:
    function = Function(name="contract", image="no-such-image:0", pull="never")
    with pytest.raises(ImageNotFound, match="no-such-image"):
        async with harness.engine.start(Invocation(function=function), streams.NOTHING):
            raise AssertionError("a container without an image")
    assert await harness.leftovers() == []


@bounded
async def test_a_program_that_the_image_lacks_is_named(harness: Harness) -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program"):
        await harness.run(programs.NO_SUCH)
    assert await harness.leftovers() == []
