"""A bounded pipe between two tasks, with the manners of a kernel's pipe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wherry.models import CHUNK


class Pipe:
    """At most ``limit`` bytes wait in it; a full pipe makes the writer wait.

    One task writes and one reads. ``changed`` is called when data or the end has come, for a
    reader that watches several pipes.
    """

    def __init__(self, limit: int = CHUNK, *, changed: Callable[[], object] = lambda: None) -> None:
        self._limit = limit
        self._changed = changed
        self._data = bytearray()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self.ended = False
        """Whether the writer has closed its end."""
        self.broken = False
        """Whether the reader has closed its end."""

    # -- the writer's end --

    async def write(self, data: bytes) -> None:
        """Write everything, waiting for room. Raises :class:`BrokenPipeError` without a reader."""
        view = memoryview(data)
        while True:
            if self.broken or self.ended:
                raise BrokenPipeError("nobody reads this pipe" if self.broken else "it is closed")
            room = max(self._limit - len(self._data), 0)
            self._data += view[:room]
            view = view[room:]
            self._tell_reader()
            if not view:
                return
            self._writable.clear()
            await self._writable.wait()

    def close(self) -> None:
        """End the stream: the reader gets what is in the pipe, then end-of-file."""
        self.ended = True
        self._writable.set()
        self._tell_reader()

    # -- the reader's end --

    def take(self, limit: int = CHUNK) -> bytes:
        """Return what is there, up to ``limit`` bytes, without waiting."""
        if limit >= len(self._data):
            data = bytes(self._data)
            self._data.clear()
        else:
            data = bytes(memoryview(self._data)[:limit])
            del self._data[:limit]
        if data:
            self._writable.set()
        return data

    async def read(self, limit: int = -1) -> bytes:
        """Wait for up to ``limit`` bytes; ``b""`` is the end. -1 reads everything up to it."""
        if limit < 0:
            return b"".join([chunk async for chunk in self])
        while not (data := self.take(limit)) and not self.ended and limit:
            self._readable.clear()
            await self._readable.wait()
        return data

    def discard(self) -> None:
        """Close the reader's end: what waits is dropped, the writer's next write fails."""
        self.broken = True
        self._data.clear()
        self._writable.set()

    @property
    def exhausted(self) -> bool:
        """Whether the end has come and everything before it was taken."""
        return self.ended and not self._data

    def __aiter__(self) -> Pipe:
        return self

    async def __anext__(self) -> bytes:
        if data := await self.read(CHUNK):
            return data
        raise StopAsyncIteration

    def _tell_reader(self) -> None:
        self._readable.set()
        self._changed()
