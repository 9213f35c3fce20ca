"""The parts of a process: what was read ahead, who wants more, the callers' ends."""

from __future__ import annotations

import asyncio
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import EngineError, UsageError
from wherry.models import CHUNK, Function, Invocation
from wherry.process import DEVNULL, STDOUT, Process
from wherry.process.demand import Demand
from wherry.process.ends import Reader, Writer
from wherry.process.spool import Spool
from wherry.testing import MemoryEngine


@given(
    st.lists(st.none() | st.binary(min_size=1, max_size=30), max_size=40),
    st.integers(0, 60),
)
def test_a_spool_returns_what_it_was_given_in_order(steps: list[bytes | None], limit: int) -> None:
    spool = Spool(limit)
    given_, taken = b"", b""
    for step in steps:
        if step is None:
            taken += spool.take()
        else:
            given_ += step
            spool.put(step)
        assert len(spool) == len(given_) - len(taken)
    while chunk := spool.take():
        taken += chunk
    assert taken == given_
    assert not spool


def test_a_spool_keeps_little_in_memory() -> None:
    spool = Spool(CHUNK)
    for _ in range(10):
        spool.put(bytes(CHUNK))
    assert spool._in_memory == CHUNK
    assert len(spool) == 10 * CHUNK
    assert spool.take() == bytes(CHUNK)
    spool.put(b"the last")
    assert b"".join(iter(spool.take, b"")) == bytes(9 * CHUNK) + b"the last"
    spool.put(b"in memory again")
    assert spool._in_memory == 15


async def test_events_are_wanted_while_somebody_waits_or_little_was_read_ahead() -> None:
    demand, spool = Demand(), Spool()
    demand.watch(spool)
    await demand.wait()
    spool.put(bytes(CHUNK))
    waiting = asyncio.create_task(demand.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    with demand.present():
        await waiting
    waiting = asyncio.create_task(demand.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    spool.take()
    demand.changed()
    await waiting


async def test_a_reader_has_the_methods_of_a_stream_reader() -> None:
    reader = Reader(Demand())
    await reader.feed(b"one\ntwo\nthree")
    assert await reader.readline() == b"one\n"
    assert await reader.read(2) == b"tw"
    assert await reader.readexactly(4) == b"o\nth"
    assert await reader.read(0) == b""
    reader.end(None)
    assert not reader.at_eof()
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await reader.readexactly(9)
    assert caught.value.partial == b"ree"
    assert reader.at_eof()
    assert await reader.read() == await reader.read(3) == await reader.readline() == b""
    assert [line async for line in reader] == []


async def test_a_reader_iterates_lines_and_the_last_may_lack_its_newline() -> None:
    reader = Reader(Demand())
    for piece in (b"a", b"b\nc", b"\n\nd"):
        await reader.feed(piece)
    reader.end(None)
    assert [line async for line in reader] == [b"ab\n", b"c\n", b"\n", b"d"]


async def test_a_cut_stream_is_an_error_after_what_came_before_it() -> None:
    reader = Reader(Demand())
    await reader.feed(b"line\nrest")
    reader.end(EngineError("cut"))
    assert await reader.readline() == b"line\n"
    for _ in range(2):
        with pytest.raises(EngineError, match="cut"):
            await reader.readline()


async def test_a_writer_is_a_source_that_ends_when_it_is_closed() -> None:
    writer = Writer(Demand())
    chunks = writer.source()
    writer.write(b"a")
    writer.writelines([b"b", b"c"])
    writer.write(b"")
    assert await anext(chunks) == b"a"
    assert await anext(chunks) == b"bc"
    next_one = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0)
    writer.write(bytes(CHUNK + 1))
    assert len(await next_one) == CHUNK
    assert not writer.is_closing()
    assert writer.can_write_eof()
    writer.write_eof()
    assert writer.is_closing()
    with pytest.raises(BrokenPipeError, match="closed"):
        writer.write(b"more")
    assert [chunk async for chunk in chunks] == [b"\0"]
    await writer.wait_closed()
    await writer.drain()


async def test_a_writer_waits_while_more_than_a_pipes_worth_is_unsent() -> None:
    writer = Writer(Demand())
    chunks = writer.source()
    writer.write(bytes(CHUNK))
    await writer.drain()
    writer.write(bytes(CHUNK))
    draining = asyncio.create_task(writer.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    await anext(chunks)
    await draining
    writer.write(bytes(CHUNK))
    draining = asyncio.create_task(writer.drain())
    await asyncio.sleep(0)
    writer.end()
    with pytest.raises(BrokenPipeError, match="does not read"):
        await draining
    writer.write(b"dropped")


def process(**streams: object) -> Process:
    invocation = Invocation(function=Function(name="f", image="busybox", command=("cat",)))
    return Process(MemoryEngine(), invocation, **streams)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({"stdin": -9}, "stdin: -9 is neither"),
        ({"stdin": STDOUT}, "stdin: -2 is neither"),
        ({"stdin": 3.5}, "input must be"),
        ({"stdout": STDOUT}, "-2 is neither PIPE"),
        ({"stderr": -9}, "-9 is neither PIPE"),
        ({"stdout": "path"}, "'path' is neither PIPE"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(streams: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        process(**streams)


async def test_a_process_without_pipes_writes_to_our_own_streams(
    capfd: pytest.CaptureFixture[str],
) -> None:
    running = process(stdin=b"to our stdout\n")
    await running.start()
    assert await running.communicate() == (None, None)
    assert capfd.readouterr().out == "to our stdout\n"
    with pytest.raises(UsageError, match="no open stdin"):
        await running.communicate(b"x")


async def test_text_files_get_text_and_a_broken_target_ends_the_process() -> None:
    text, data = io.StringIO(), io.BytesIO()
    for target in (text, data):
        running = process(stdin="zwölf", stdout=target, stderr=DEVNULL)
        await running.start()
        assert await running.wait() == 0
    assert (text.getvalue(), data.getvalue().decode()) == ("zwölf", "zwölf")
    reading, writing = os.pipe()
    os.close(reading)
    running = process(stdin="x", stdout=writing)
    await running.start()
    with pytest.raises(BrokenPipeError):
        await running.wait()
    os.close(writing)


async def test_closing_an_unstarted_or_ended_process_is_harmless() -> None:
    running = process()
    await running.aclose()
    await running.start()
    assert await running.wait() == 0
    await running.aclose()
    await running.kill()
    assert running.poll() == 0
