"""Pipelines: the same behaviour on an engine of coroutines and on one of real processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest
from tests.support.harness import bounded, endless, silent

from wherry.client import AsyncClient
from wherry.errors import EngineError, FunctionError, StartError
from wherry.models import CHUNK, Exit, Function, Limits, Output

if TYPE_CHECKING:
    from tests.support.harness import Harness

Stages = Callable[..., list[Function]]
MIB = 1024 * 1024

pytestmark = pytest.mark.parametrize("harness", ["memory", "local", "local-ready"], indirect=True)


@pytest.fixture
def client(harness: Harness) -> AsyncClient:
    return AsyncClient(harness.engine)


@pytest.fixture
def stages(harness: Harness) -> Stages:
    """Return functions by their command lines: a text is a script."""

    def make(*commands: str | tuple[str, ...]) -> list[Function]:
        return [
            Function(
                name=f"stage-{number}",
                image=harness.image,
                command=("sh", "-c", command) if isinstance(command, str) else command,
            )
            for number, command in enumerate(commands, 1)
        ]

    return make


CAT = ("cat",)
UPPER = ("tr", "a-z", "A-Z")
HEAD = ("head", "-c", "3")


@bounded
async def test_each_stage_reads_what_the_one_before_it_writes(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    found = await client.pipe(*stages("cat; echo two", UPPER, CAT), input="one\n")
    assert (found.text, found.exit, found.ok, found.failed) == ("ONE\nTWO\n", Exit(0), True, None)
    assert [(stage.function, stage.exit, stage.cut) for stage in found.stages] == [
        ("stage-1", Exit(0), False),
        ("stage-2", Exit(0), False),
        ("stage-3", Exit(0), False),
    ]
    assert [stage.stdout for stage in found.stages] == [b"", b"", b"ONE\nTWO\n"]
    assert found.check() is found
    assert await harness.leftovers() == []


@bounded
async def test_one_stage_is_a_pipeline_too(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    assert (await client.pipe(*stages(CAT), input="alone")).text == "alone"


@pytest.mark.parametrize("position", [0, 1, 2])
@bounded
async def test_the_first_failure_ends_all_and_is_told(
    harness: Harness, client: AsyncClient, stages: Stages, position: int
) -> None:
    commands: list[str | tuple[str, ...]] = [CAT, CAT, "cat; echo complete"]
    commands[position] = "head -c 2; echo why >&2; exit 3"
    found = await client.pipe(*stages(*commands), input=endless())
    assert found.exit == Exit(3)
    assert found.failed is found.stages[position]
    assert found.failed.stderr == b"why\n"
    assert not found.ok
    # The end of what failed is no end of stdin: nobody may take a part for the whole.
    assert b"complete" not in found.stdout
    with pytest.raises(FunctionError, match="exit status 3: why") as caught:
        found.check()
    assert caught.value.stdout == found.stdout
    assert await harness.leftovers() == []


@bounded
async def test_a_stage_whose_reader_has_enough_is_ended_and_that_is_no_failure(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    found = await client.pipe(*stages(("cat", "/dev/zero"), CAT, HEAD))
    assert found.stdout == bytes(3)
    assert found.ok
    assert found.check().exit == Exit(0)
    assert found.stages[0].cut
    assert [stage.ok for stage in found.stages] == [True, True, True]
    assert not found.stages[2].cut
    assert await harness.leftovers() == []


@bounded
async def test_input_that_stays_silent_does_not_keep_a_finished_pipeline(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    async def talk() -> AsyncIterator[bytes]:
        yield b"abcdef"
        async for nothing in silent():
            yield nothing

    found = await client.pipe(*stages(CAT, CAT, HEAD), input=talk())
    assert (found.text, found.ok) == ("abc", True)
    found = await client.pipe(*stages(CAT, CAT, HEAD), input=endless())
    assert (found.stdout, found.ok) == (bytes(3), True)
    assert await harness.leftovers() == []


@bounded
async def test_a_stage_that_writes_no_more_runs_to_its_own_end(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    found = await client.pipe(*stages("echo abc; sleep 0.2; echo done >&2", HEAD))
    first = found.stages[0]
    assert (first.exit, first.stderr, first.cut) == (Exit(0), b"done\n", False)
    assert found.text == "abc"


@bounded
async def test_a_hundred_mebibytes_go_through_three_stages_unharmed(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    pattern = hashlib.sha512(b"a pattern").digest() * (CHUNK // 64)
    expected = hashlib.md5()
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MIB:
            piece = pattern[sent % 977 :]
            expected.update(piece)
            sent += len(piece)
            yield piece

    found = await client.pipe(*stages(CAT, CAT, ("md5sum",)), input=pieces())
    assert found.text.split()[0] == expected.hexdigest()


@bounded
async def test_a_slow_reader_stops_the_source_through_all_stages(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    sent = [0]
    before = -1
    async with client.start_pipe(*stages(CAT, CAT, CAT), input=endless(sent)) as running:
        assert isinstance(await anext(aiter(running)), Output)
        while before != sent[0]:  # until nothing moves any more
            before = sent[0]
            await asyncio.sleep(0.3)
        assert sent[0] < 3 * harness.in_flight + MIB
    assert await harness.leftovers() == []


@bounded
async def test_stderr_of_all_stages_comes_live_and_is_kept_for_each(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    given = stages("echo one >&2; cat", "echo two >&2; cat")
    async with client.start_pipe(*given, input="x") as running:
        events = [event async for event in running]
        assert [link.stderr.value() for link in running.links] == [b"one\n", b"two\n"]
    said = [
        event.data for event in events if event == Output("stderr", getattr(event, "data", b""))
    ]
    assert sorted(b"".join(said).splitlines()) == [b"one", b"two"]
    assert [event for event in events if isinstance(event, Exit)] == [events[-1]] == [Exit(0)]


@bounded
async def test_a_timeout_of_one_stage_ends_all(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    first, second = stages(CAT, CAT)
    limits = Limits(timeout=harness.timeout)
    timed = Function(name="timed", image=harness.image, command=second.command, limits=limits)
    found = await client.pipe(first, timed, input=silent())
    assert found.exit.reason == "timeout"
    assert found.failed is found.stages[1]
    assert await harness.leftovers() == []


@bounded
async def test_killing_a_pipeline_kills_every_stage(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    async with client.start_pipe(*stages(CAT, CAT, CAT), input=silent()) as running:
        await running.kill()
        *others, last = [event async for event in running]
        assert (others, last) == ([], Exit(137, "killed"))
        await running.kill()
    assert [link.exit for link in running.links] == [Exit(137, "killed")] * 3


@bounded
async def test_a_stage_that_cannot_start_is_raised_and_the_others_are_gone(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    with pytest.raises(StartError, match="no-such-program"):
        await client.pipe(*stages(CAT, ("no-such-program",), CAT), input=silent())
    assert await harness.leftovers() == []


@bounded
async def test_an_error_of_the_input_comes_out_as_itself(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await client.pipe(*stages(CAT, "cat; echo complete"), input=broken())
    assert await harness.leftovers() == []


@bounded
async def test_an_engine_that_fails_under_one_stage_is_no_exit(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    with pytest.raises(EngineError):  # noqa: PT012 - the block is what is tested
        async with client.start_pipe(*stages(CAT, CAT), input=silent()) as running:
            container = running.links[1].container
            assert container is not None
            await harness.cut(container)  # type: ignore[arg-type]
            async for event in running:
                assert not isinstance(event, Exit)


@bounded
async def test_leaving_or_cancelling_leaves_nothing_behind(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    async with client.start_pipe(*stages(CAT, CAT, CAT), input=endless()) as running:
        await anext(aiter(running))
    assert await harness.leftovers() == []
    calling = asyncio.create_task(client.pipe(*stages(CAT, CAT), input=silent()))
    while len(await harness.ids()) < 2:
        await asyncio.sleep(0.01)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert await harness.leftovers() == []


@bounded
async def test_a_stage_that_ignores_sigpipe_is_killed(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    deaf = "trap '' PIPE; while :; do echo x; done"
    if harness.name == "memory":
        deaf = "cat /dev/zero"  # its shell has no traps
    found = await client.pipe(*stages(deaf, ("head", "-c", "1")))
    assert found.ok
    assert found.stages[0].cut
    assert await harness.leftovers() == []


@bounded
async def test_a_second_cancellation_does_not_cut_the_cleaning_up_short(
    harness: Harness, client: AsyncClient, stages: Stages
) -> None:
    begun = asyncio.Event()

    async def call() -> None:
        async with client.start_pipe(*stages(CAT, CAT), input=silent()) as running:
            begun.set()
            async for _ in running:
                pass

    calling = asyncio.create_task(call())
    await begun.wait()
    calling.cancel()
    while not calling.done():
        await asyncio.sleep(0)
        calling.cancel()
    assert calling.cancelled()
    assert await harness.leftovers() == []
