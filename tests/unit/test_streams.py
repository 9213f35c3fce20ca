from __future__ import annotations

import asyncio
import io
import os
import pty
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry import streams
from wherry.errors import EngineError, UsageError
from wherry.models import CHUNK, Exit, Output
from wherry.streams import Decoder, Input, Tail, source


async def everything(data: Input) -> list[bytes]:
    return [chunk async for chunk in source(data)]


async def agen(*items: object) -> AsyncIterator[object]:
    for item in items:
        yield item


@pytest.mark.parametrize(
    "data",
    [
        "hé",
        "hé".encode(),
        bytearray("hé".encode()),
        memoryview("hé".encode()),
        ["h", "é".encode()],
        ("h", bytearray("é".encode())),
        io.BytesIO("hé".encode()),
        io.StringIO("hé"),
    ],
    ids=lambda data: type(data).__name__,
)
async def test_every_kind_of_input_becomes_the_same_bytes(data: Input) -> None:
    assert b"".join(await everything(data)) == "hé".encode()


async def test_generators_of_either_kind_are_inputs() -> None:
    assert await everything(chunk for chunk in ("a", b"b", "")) == [b"a", b"b"]
    assert await everything(agen("a", b"", bytearray(b"b"))) == [b"a", b"b"]  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [None, "", b"", bytearray(), memoryview(b"")])
async def test_no_input_is_the_same_as_empty_input(data: Input) -> None:
    assert source(data) is streams.NOTHING
    assert await everything(data) == []
    assert await everything(data) == []


async def test_large_bytes_are_cut_into_chunks() -> None:
    data = os.urandom(2 * CHUNK + 1)
    chunks = await everything(data)
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 1]
    assert b"".join(chunks) == data


async def test_memory_of_any_shape_is_sent_as_its_bytes() -> None:
    assert await everything(memoryview(b"abcd").cast("H")) == [b"abcd"]


@pytest.mark.parametrize("data", [3, 3.5, object(), Path("x")])
def test_what_holds_no_bytes_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match=f"not {type(data).__name__}"):
        source(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("items", [[1], (None,), {1: 2}])
async def test_what_yields_no_bytes_is_refused(items: object) -> None:
    with pytest.raises(UsageError, match="input must yield bytes or text"):
        await everything(items)  # type: ignore[arg-type]


async def test_an_iterable_is_pulled_in_a_thread_and_one_item_at_a_time() -> None:
    pulled: list[int] = []
    threads: set[int] = set()

    def slow() -> Iterator[bytes]:
        for number in range(3):
            pulled.append(number)
            threads.add(threading.get_ident())
            yield b"%d" % number

    chunks = aiter(source(slow()))
    assert pulled == []
    assert await anext(chunks) == b"0"
    await asyncio.sleep(0.01)
    assert pulled == [0]
    assert [chunk async for chunk in chunks] == [b"1", b"2"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_an_error_of_an_iterable_comes_out_as_itself() -> None:
    error = LookupError("mine")

    def failing() -> Iterator[bytes]:
        yield b"a"
        raise error

    chunks = aiter(source(failing()))
    assert await anext(chunks) == b"a"
    with pytest.raises(LookupError) as caught:
        await anext(chunks)
    assert caught.value is error


async def test_the_loop_goes_on_while_an_iterable_blocks() -> None:
    release = threading.Event()

    def blocking() -> Iterator[bytes]:
        release.wait(5)
        yield b"at last"

    chunks = aiter(source(blocking()))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await anext(chunks)
    release.set()
    await streams.close(chunks)


async def test_closing_a_source_finishes_the_one_inside() -> None:
    left: list[str] = []

    async def inner() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            left.append("inner")

    chunks = aiter(source(inner()))
    assert await anext(chunks) == b"x"
    await streams.close(chunks)
    assert left == ["inner"]
    await streams.close(streams.NOTHING)


async def test_a_file_is_read_from_where_it_stands_and_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(CHUNK * 2 + 5)
    path.write_bytes(data)
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            file.read(3)
            assert b"".join(await everything(file)) == data[3:]
            assert not file.closed


async def test_a_text_file_is_sent_as_utf_8_whatever_it_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one\nzwölf\n", encoding="utf-16")
    with path.open(encoding="utf-16") as file:
        assert file.readline() == "one\n"
        assert b"".join(await everything(file)) == "zwölf\n".encode()


@pytest.mark.parametrize("kind", ["pipe", "unbuffered pipe", "socket", "terminal"])
async def test_a_live_file_sends_what_is_there(kind: str) -> None:
    before = set(threading.enumerate())
    if kind == "socket":
        ours, theirs = socket.socketpair()
        reading, writing = theirs.detach(), ours.detach()
    elif kind == "terminal":
        writing, reading = pty.openpty()
    else:
        reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0 if kind.startswith("un") else -1) as file:
        chunks = aiter(source(file))
        os.write(writing, b"one\n")
        assert await anext(chunks) == b"one\n"
        os.write(writing, b"two\n")
        assert await anext(chunks) == b"two\n"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(chunks)
        assert set(threading.enumerate()) <= before
    os.close(writing)


async def test_the_end_of_a_pipe_is_the_end_of_the_source() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"all")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert await everything(file) == [b"all"]


async def test_a_text_pipe_is_read_line_by_line() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as file, os.fdopen(writing, "w") as other:
        chunks = aiter(source(file))
        other.write("erste Zeile, mit ß\nzwei")
        other.flush()
        assert await anext(chunks) == "erste Zeile, mit ß\n".encode()
        other.close()
        assert [chunk async for chunk in chunks] == [b"zwei"]


def test_characters_may_be_cut_anywhere() -> None:
    decoder = Decoder()
    data = "aß€😀".encode()
    text = "".join(decoder.feed(bytes([byte])) for byte in data) + decoder.finish()
    assert text == "aß€😀"


def test_what_is_no_utf_8_is_replaced() -> None:
    decoder = Decoder()
    assert decoder.feed(b"a\xffb\xe2\x82") == "a\ufffdb"
    assert decoder.finish() == "\ufffd"


@given(st.lists(st.binary(max_size=20)), st.integers(1, 25))
def test_a_tail_keeps_the_end_and_says_whether_it_dropped_anything(
    chunks: list[bytes], limit: int
) -> None:
    tail = Tail(limit)
    for chunk in chunks:
        tail.add(chunk)
    whole = b"".join(chunks)
    assert tail.value() == whole[-limit:]
    assert tail.truncated == (len(whole) > limit)


class Recorded:
    id = "recorded"

    def __init__(self, *events: Output | Exit) -> None:
        self._events = iter(events)

    def __aiter__(self) -> AsyncIterator[Output | Exit]:
        return self

    async def __anext__(self) -> Output | Exit:
        try:
            return next(self._events)
        except StopIteration:
            raise StopAsyncIteration from None

    async def kill(self, signal: int = 9) -> None:
        raise NotImplementedError


async def test_a_collected_call_keeps_all_of_stdout_and_the_end_of_stderr() -> None:
    container = Recorded(
        Output("stdout", b"a"), Output("stderr", b"1234"), Output("stdout", b"b"), Exit(3)
    )
    collected = await streams.collect(container, stderr_limit=3)
    assert (collected.stdout, collected.stderr, collected.exit) == (b"ab", b"234", Exit(3))
    assert collected.stderr_truncated


async def test_events_that_stop_without_an_exit_are_an_error() -> None:
    with pytest.raises(EngineError, match="recorded ended without an exit"):
        await streams.collect(Recorded(Output("stdout", b"a")))


class Busy:
    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.ended = 0

    async def work(self, seconds: float) -> float:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(seconds)
            return seconds
        finally:
            self.now -= 1
            self.ended += 1


async def test_results_come_in_the_order_of_the_items() -> None:
    busy = Busy()
    seconds = [0.03, 0.02, 0.02, 0.01, 0.0]
    assert [s async for s in streams.in_order(busy.work, seconds, places=3)] == seconds
    assert busy.most == 3


async def test_no_more_items_are_pulled_than_there_are_places() -> None:
    pulled = 0

    async def items() -> AsyncIterator[float]:
        nonlocal pulled
        while True:
            pulled += 1
            yield 0.0

    results = streams.in_order(Busy().work, items(), places=4)
    assert await anext(results) == 0.0
    await asyncio.sleep(0.02)
    assert pulled <= 5
    await streams.close(results)


async def test_a_result_does_not_wait_for_the_next_item() -> None:
    async def items() -> AsyncIterator[float]:
        yield 0.0
        await asyncio.Event().wait()

    results = streams.in_order(Busy().work, items(), places=4)
    assert await anext(results) == 0.0
    await streams.close(results)


async def test_an_error_of_the_work_ends_the_rest() -> None:
    busy = Busy()

    async def work(number: int) -> float:
        if number == 1:
            raise LookupError("mine")
        return await busy.work(60 if number else 0)

    results = streams.in_order(work, range(4), places=4)
    assert await anext(results) == 0
    with pytest.raises(LookupError, match="mine"):
        await anext(results)
    assert busy.now == 0
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_of_the_items_ends_the_rest() -> None:
    busy = Busy()

    def items() -> Iterator[float]:
        yield 60
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await anext(streams.in_order(busy.work, items(), places=4))
    assert busy.now == 0
    assert busy.ended == 1


async def test_leaving_the_results_early_ends_the_rest() -> None:
    busy = Busy()
    results = streams.in_order(busy.work, [0.0, 60, 60], places=3)
    async for _ in results:
        break
    await streams.close(results)
    assert busy.now == 0
    assert len(asyncio.all_tasks()) == 1
