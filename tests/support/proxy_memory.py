"""A connection that is a list of pieces: what is read is given, what is written is kept."""

from __future__ import annotations

import asyncio


class MemoryWire:
    """A peer that says its pieces one after the other, and then ends, or waits for its end."""

    def __init__(self, pieces: list[bytes], *, open: bool = False) -> None:  # noqa: A002
        self._pieces = [piece for piece in pieces if piece]
        self._closed = asyncio.Event()
        if not open:
            self._closed.set()
        self.written = bytearray()
        self.ended = False

    async def read(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        await self._closed.wait()
        return b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def end(self) -> None:
        self.ended = True

    def is_stale(self) -> bool:
        return self._closed.is_set()

    def cut(self) -> None:
        self._closed.set()

    def close(self) -> None:
        self._closed.set()

    async def wait_closed(self) -> None:
        return
