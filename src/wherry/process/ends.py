"""The ends of a process's streams that its caller holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from wherry.models import CHUNK
from wherry.process.spool import Spool

if TYPE_CHECKING:
    from wherry.process.demand import Demand


class Reader:
    """A stream of a process, with the methods of :class:`asyncio.StreamReader`.

    Nothing is lost when a read is cancelled. Raises what ended the process when that was not
    the process itself: a cut stream is an error, not an end.
    """

    def __init__(self, demand: Demand) -> None:
        self._demand = demand
        self._spool = Spool()
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        demand.watch(self._spool)

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes as soon as there are any; ``b""`` is the end.

        -1 reads up to the end.
        """
        if n < 0:
            while await self._fill():
                pass
            return self._cut(len(self._buffer))
        if n and not self._buffer:
            await self._fill()
        return self._cut(n)

    async def readexactly(self, n: int) -> bytes:
        """Return ``n`` bytes. Raises :class:`asyncio.IncompleteReadError` at the end."""
        while len(self._buffer) < n:
            if not await self._fill():
                raise asyncio.IncompleteReadError(self._cut(len(self._buffer)), n)
        return self._cut(n)

    async def readline(self) -> bytes:
        """Return a line with its newline, which only the last one may lack; ``b""`` is the end."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if not await self._fill():
                return self._cut(searched)
        return self._cut(end + 1)

    def at_eof(self) -> bool:
        """Whether everything was read."""
        return self._ended and not self._spool and not self._buffer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    # -- the process's side --

    async def feed(self, data: bytes) -> None:
        """Take what the program wrote."""
        self._spool.put(data)
        self._arrived.set()

    def end(self, error: BaseException | None) -> None:
        """Take the end of the stream, and the error if it was cut."""
        self._ended = True
        self._error = error
        self._arrived.set()

    def keep_in_memory(self) -> None:
        """Let the spool grow: all of it is about to be returned at once anyway."""
        self._spool.limit = 1 << 62

    async def _fill(self) -> bool:
        with self._demand.present():
            while not self._spool and not self._ended:
                self._arrived.clear()
                await self._arrived.wait()
        if not self._spool:
            if self._error is not None:
                raise self._error
            return False
        self._buffer += self._spool.take()
        self._demand.changed()
        return True

    def _cut(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data


class Writer:
    """The stdin of a process, with the methods of :class:`asyncio.StreamWriter`.

    It is the source that the engine pulls: closing it is the end of stdin.
    """

    def __init__(self, demand: Demand) -> None:
        self._demand = demand
        self._chunks: deque[memoryview] = deque()
        self._size = 0
        self._closing = False
        self._broken = False
        self._given = asyncio.Event()
        self._taken = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data; :meth:`drain` waits until most of it is on its way.

        Raises :class:`BrokenPipeError` once the stream is closed.
        """
        if self._closing:
            raise BrokenPipeError("stdin was closed")
        if data and not self._broken:
            self._chunks.append(memoryview(bytes(data)))
            self._size += len(self._chunks[-1])
            self._given.set()

    def writelines(self, data: Iterable[bytes]) -> None:
        """Send several pieces."""
        self.write(b"".join(data))

    async def drain(self) -> None:
        """Wait until at most 64 KiB are left to send.

        Raises :class:`BrokenPipeError` when the process does not read any more.
        """
        with self._demand.present():
            while self._size > CHUNK and not self._broken:
                self._taken.clear()
                await self._taken.wait()
        if self._broken and not self._closing:
            raise BrokenPipeError("the process does not read its stdin any more")

    def close(self) -> None:
        """End stdin after what was written."""
        self._closing = True
        self._given.set()

    write_eof = close

    def can_write_eof(self) -> bool:
        """Say yes: the end of stdin never closes the output."""
        return True

    def is_closing(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closing

    async def wait_closed(self) -> None:
        """Wait until everything was sent, or cannot be any more."""
        with self._demand.present():
            while not self._broken:
                self._taken.clear()
                await self._taken.wait()

    # -- the process's side --

    async def source(self) -> AsyncIterator[bytes]:
        """Yield what is written, until the stream is closed."""
        try:
            while self._chunks or not self._closing:
                if self._chunks:
                    yield self._next()
                else:
                    self._given.clear()
                    await self._given.wait()
        finally:
            self.end()

    def end(self) -> None:
        """Take it that nothing will be read any more."""
        self._broken = True
        self._chunks.clear()
        self._size = 0
        self._taken.set()

    def _next(self) -> bytes:
        view = self._chunks.popleft()
        if len(view) > CHUNK:
            self._chunks.appendleft(view[CHUNK:])
        data = bytes(view[:CHUNK])
        self._size -= len(data)
        self._taken.set()
        return data
