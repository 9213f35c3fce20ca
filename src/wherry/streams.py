"""Bytes in and bytes out: every kind of input as one source, and a container's events collected.

A *source* is what an engine pulls stdin from: ``AsyncIterable[bytes]``. Its end is the end of
stdin, so end-of-file cannot be forgotten.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import stat
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Generic, TypeVar, cast

from wherry.errors import EngineError, UsageError
from wherry.models import CHUNK, Exit, Output

if TYPE_CHECKING:
    from wherry.engines.base import Container

Input = (
    None
    | str
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | IO[str]
    | Iterable[bytes | str]
    | AsyncIterable[bytes | str]
)
"""What a call accepts as stdin; :func:`source` makes one thing of it."""

STDERR_TAIL = 1024 * 1024
"""Bytes: how much of the end of stderr a collected call keeps."""

T = TypeVar("T")


class _Nothing(AsyncIterator[bytes]):
    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


NOTHING: AsyncIterator[bytes] = _Nothing()
"""The source of a call without input: it ends at once, as often as it is asked."""


def source(data: Input) -> AsyncIterable[bytes]:
    """Turn any input into the source that an engine pulls.

    Text is sent as UTF-8. Files and other blocking iterables are read outside of the event loop,
    one chunk at a time and only when the engine asks. A binary pipe, socket or terminal sends
    what is there; nothing waits until 64 KiB have come together. The file stays open and belongs
    to the caller. Raises :class:`UsageError` for anything that holds no bytes.
    """
    if data is None:
        return NOTHING
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return _Slices(memoryview(data).cast("B")) if data else NOTHING
    if isinstance(data, AsyncIterable):
        return _checked(data)
    if callable(getattr(data, "read", None)):
        return _file(cast("IO[bytes] | IO[str]", data))
    if isinstance(data, Iterable):
        return _checked(pulled(data))
    raise UsageError(
        f"input must be text, bytes, a file or an iterable of those, not {type(data).__name__}"
    )


async def close(stream: object) -> None:
    """Finish an iterator that will not be pulled to its end, so that its ``finally`` runs now."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()


class _Slices(AsyncIterator[bytes]):
    """Not a generator: nothing has to be finished when an engine stops in the middle."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    async def __anext__(self) -> bytes:
        data = bytes(self._view[self._at : self._at + CHUNK])
        if not data:
            raise StopAsyncIteration
        self._at += len(data)
        return data


async def _checked(chunks: AsyncIterable[object]) -> AsyncIterator[bytes]:
    iterator = aiter(chunks)
    try:
        async for chunk in iterator:
            if data := _as_bytes(chunk):
                yield data
    finally:
        await close(iterator)


def _as_bytes(chunk: object) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise UsageError(f"input must yield bytes or text, not {type(chunk).__name__}: {chunk!r:.80}")


# ---- what blocks ---------------------------------------------------------------------------


def pulled(items: Iterable[T]) -> AsyncIterator[T]:
    """Iterate anything from a coroutine, one item at a time, and only when the next is wanted.

    A list or tuple is read in place. Anything else may block, so a thread of its own reads it;
    the thread is a daemon, since nobody can interrupt a blocked ``next()``.
    """
    if isinstance(items, list | tuple):
        return _each(items)
    iterator = iter(items)
    return _threaded(lambda: next(iterator))


async def _each(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


async def _threaded(pull: Callable[[], T]) -> AsyncIterator[T]:
    puller = _Puller(pull)
    try:
        while True:
            try:
                item = await puller.next()
            except _EndError:
                return
            yield item
    finally:
        puller.stop()


class _EndError(Exception):
    """A blocking iterator has ended: StopIteration cannot travel through a future."""


class _Puller(Generic[T]):
    """A daemon thread that calls one blocking function, each time it is asked to."""

    def __init__(self, pull: Callable[[], T]) -> None:
        self._pull = pull
        self._orders: SimpleQueue[asyncio.Future[T] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def next(self) -> T:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="wherry-input", daemon=True)
            self._thread.start()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.put(answer)
        return await answer

    def stop(self) -> None:
        self._orders.put(None)

    def _work(self) -> None:
        while (answer := self._orders.get()) is not None:
            item, error = self._attempt()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                answer.get_loop().call_soon_threadsafe(_settle, answer, item, error)

    def _attempt(self) -> tuple[T | None, BaseException | None]:
        try:
            return self._pull(), None
        except StopIteration:
            return None, _EndError()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            return None, error


def _settle(answer: asyncio.Future[T], item: T | None, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(cast("T", item))


def _file(file: IO[bytes] | IO[str]) -> AsyncIterator[bytes]:
    fd = _pollable(file)
    read1 = getattr(file, "read1", None)
    binary = cast("IO[bytes]", file)
    if fd is not None and (read1 or hasattr(file, "readall")):
        return _live_file(fd, read1 or binary.read)
    if isinstance(getattr(file, "encoding", None), str) and not file.seekable():
        return _checked(_threaded(_until_empty(lambda: file.readline(CHUNK))))
    return _checked(_threaded(_until_empty(lambda: file.read(CHUNK))))


def _until_empty(read: Callable[[], bytes | str]) -> Callable[[], bytes | str]:
    def pull() -> bytes | str:
        if data := read():
            return data
        raise StopIteration

    return pull


def _pollable(file: object) -> int | None:
    """Return the descriptor of a pipe, socket or terminal, which can say when it has data."""
    try:
        fd: int = file.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd):
        return fd
    return None


async def _live_file(fd: int, read: Callable[[int], bytes | None]) -> AsyncIterator[bytes]:
    """Read as data comes, and without a thread.

    A thread that is blocked in ``sys.stdin.buffer`` while Python exits aborts the interpreter
    (seen on 3.11, 3.12 and 3.13), and an early exit leaves just that behind.
    """
    watched = os.dup(fd)
    try:
        while True:
            await _until_readable(watched)
            data = read(CHUNK)
            if data is None:  # non-blocking, and someone else was faster
                continue
            if not data:
                return
            yield data
    finally:
        os.close(watched)


async def _until_readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


# ---- what comes out ------------------------------------------------------------------------


class Decoder:
    """UTF-8 to text, however the bytes are cut; what is no UTF-8 becomes U+FFFD."""

    def __init__(self, encoding: str = "utf-8", errors: str = "replace") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    def feed(self, data: bytes) -> str:
        """Return the text that is complete by now."""
        return self._decoder.decode(data)

    def finish(self) -> str:
        """Return what an unfinished character at the very end comes to."""
        return self._decoder.decode(b"", final=True)


class Tail:
    """The last bytes of a stream of any length, in at most three times their size."""

    def __init__(self, limit: int = STDERR_TAIL) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.truncated = False
        """Whether anything was dropped."""

    def add(self, data: bytes) -> None:
        """Append, and forget what is too old."""
        self._kept += data[-self._limit :]
        self.truncated = self.truncated or len(data) > self._limit
        if len(self._kept) > 2 * self._limit:
            self._trim()

    def value(self) -> bytes:
        """Return the bytes that are kept."""
        self._trim()
        return bytes(self._kept)

    def _trim(self) -> None:
        if (excess := len(self._kept) - self._limit) > 0:
            del self._kept[:excess]
            self.truncated = True


@dataclass(frozen=True, slots=True)
class Collected:
    """Everything a container said."""

    exit: Exit
    stdout: bytes
    stderr: bytes
    stderr_truncated: bool


async def collect(container: Container, *, stderr_limit: int = STDERR_TAIL) -> Collected:
    """Read a container to its end: all of stdout, and the last bytes of stderr.

    Raises :class:`EngineError` when the events stop without an :class:`Exit`.
    """
    stdout: list[bytes] = []
    stderr = Tail(stderr_limit)
    async for event in container:
        match event:
            case Output("stdout", data):
                stdout.append(data)
            case Output("stderr", data):
                stderr.add(data)
            case Exit() as ended:
                return Collected(ended, b"".join(stdout), stderr.value(), stderr.truncated)
    raise EngineError(f"the events of container {container.id} ended without an exit")
