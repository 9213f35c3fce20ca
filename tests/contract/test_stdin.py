"""The contract of an engine, second part: what goes in, and what goes both ways."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import pytest
from tests.support import programs
from tests.support.harness import Harness, bounded, endless, silent
from tests.support.programs import MIB

from wherry import streams
from wherry.errors import Unsupported
from wherry.models import CHUNK, Exit, Output


class SourceError(Exception):
    pass


@bounded
async def test_empty_stdin_is_immediate_end_of_file(harness: Harness) -> None:
    result = await harness.run(programs.CAT)
    assert (result.stdout, result.exit) == (b"", Exit(0))
    assert await harness.run(programs.CAT, streams.source(b"")) == result


@bounded
async def test_the_end_of_stdin_is_a_half_close_and_output_goes_on(harness: Harness) -> None:
    result = await harness.run(programs.CAT_THEN_MORE, streams.source("no newline"))
    assert result.stdout == b"no newlineafter\n"
    assert (result.stderr, result.exit) == (b"late\n", Exit(0))


@bounded
async def test_32_mib_pass_both_ways_at_once(harness: Harness) -> None:
    sent = os.urandom(MIB) * 32
    result = await harness.run(programs.CAT, streams.source(sent))
    assert result.exit == Exit(0)
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(sent).digest()


@bounded
async def test_every_answer_may_decide_the_next_question(harness: Harness) -> None:
    """Ping-pong, and with it: output is live, and a source may take its time."""
    questions: asyncio.Queue[bytes] = asyncio.Queue()

    async def asking() -> AsyncIterator[bytes]:
        while question := await questions.get():
            yield question

    async with harness.start(programs.CAT, asking()) as container:
        events = aiter(container)
        for number in range(50):
            line = f"{number}\n".encode() * (number * 10 + 1)
            questions.put_nowait(line)
            answer = b""
            while len(answer) < len(line):
                event = await anext(events)
                assert isinstance(event, Output)
                answer += event.data
            assert answer == line
        questions.put_nowait(b"")
        assert [event async for event in events] == [Exit(0)]


@bounded
async def test_early_exit_ends_the_invocation_despite_endless_stdin(harness: Harness) -> None:
    assert (await harness.run(programs.TRUE, endless())).exit == Exit(0)
    result = await harness.run(programs.HEAD, endless())
    assert (result.stdout, result.exit) == (bytes(3), Exit(0))
    assert await harness.leftovers() == []


@bounded
async def test_early_exit_ends_the_invocation_despite_silent_stdin(harness: Harness) -> None:
    assert (await harness.run(programs.FALSE, silent())).exit == Exit(1)
    assert await harness.leftovers() == []


@bounded
async def test_an_error_in_the_source_kills_the_container_and_comes_out_as_itself(
    harness: Harness,
) -> None:
    error = SourceError("no more")
    left: list[str] = []

    async def failing() -> AsyncIterator[bytes]:
        try:
            yield b"something"
            raise error
        finally:
            left.append("the source")

    with pytest.raises(SourceError) as caught:
        await harness.run(programs.CAT, failing())
    assert caught.value is error
    assert left == ["the source"]
    assert await harness.leftovers() == []


@bounded
async def test_an_error_at_the_very_start_of_the_source_comes_out_too(harness: Harness) -> None:
    async def failing() -> AsyncIterator[bytes]:
        raise SourceError
        yield b""

    with pytest.raises(SourceError):
        await harness.run(programs.SLEEP, failing())
    assert await harness.leftovers() == []


@bounded
async def test_a_source_is_finished_when_nobody_needs_it_any_more(harness: Harness) -> None:
    left: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            async for chunk in endless():
                yield chunk
        finally:
            left.append("the source")

    assert (await harness.run(programs.HEAD, source())).exit == Exit(0)
    assert left == ["the source"]


@bounded
async def test_a_container_that_does_not_read_stops_the_source(harness: Harness) -> None:
    sent = [0]
    async with harness.start(programs.SLEEP, endless(sent)) as container:
        await asyncio.sleep(0.3)
        assert 0 < sent[0] <= harness.in_flight
        before = sent[0]
        await asyncio.sleep(0.1)
        assert sent[0] == before
        await container.kill()


@bounded
async def test_a_reader_that_waits_stops_the_source(harness: Harness) -> None:
    sent = [0]
    async with harness.start(programs.CAT, endless(sent)) as container:
        await anext(aiter(container))
        await asyncio.sleep(0.3)
        assert sent[0] <= 2 * harness.in_flight


@bounded
async def test_input_is_streamed_or_refused_before_the_start(harness: Harness) -> None:
    container = harness.start(programs.CAT, streams.source("streamed"))
    if harness.streams_stdin:
        async with container as running:
            assert (await streams.collect(running)).stdout == b"streamed"
        return
    with pytest.raises(Unsupported, match="stdin"):
        async with container:
            raise AssertionError("started, and without its input")


@pytest.mark.timeout(180)
async def test_100_mib_of_random_bytes_have_the_same_digest_inside(harness: Harness) -> None:
    local = hashlib.md5()

    async def random_bytes() -> AsyncIterator[bytes]:
        for _ in range(100 * MIB // CHUNK):
            chunk = os.urandom(CHUNK)
            local.update(chunk)
            yield chunk

    async with asyncio.timeout(10 * harness.patience):
        result = await harness.run(programs.MD5SUM, random_bytes())
    assert result.stdout.decode().split() == [local.hexdigest(), "-"]


@pytest.mark.timeout(300)
async def test_200_calls_at_once_each_get_their_own_answer(harness: Harness) -> None:
    async def one(number: int) -> None:
        text = f"call {number}\n" * 100
        result = await harness.run(programs.CAT, streams.source(text))
        assert (result.stdout.decode(), result.exit) == (text, Exit(0))

    async with asyncio.timeout(15 * harness.patience), asyncio.TaskGroup() as group:
        for number in range(harness.at_once):
            group.create_task(one(number))
    assert await harness.leftovers() == []
