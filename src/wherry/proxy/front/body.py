"""The body of a request, framed exactly: a length that was announced, or chunks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

from wherry.models import CHUNK
from wherry.proxy.front.head import refuse
from wherry.proxy.front.problems import BodyTooLarge, ClientLeft, Refusal
from wherry.proxy.front.request import JSON_LIMIT

if TYPE_CHECKING:
    from wherry.proxy.front.buffer import Buffer

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_SIZE_LINE: Final = 17
"""Bytes of a chunk's first line, its end included: extensions are not taken."""


class Room:
    """The memory that the bodies of one front may take together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        """Take some; raises Refusal (503) when there is not as much."""
        if size > self._left:
            raise Refusal(503, "too many large request bodies at one time", close=True)
        self._left -= size

    def give_back(self, size: int) -> None:
        """Have some again."""
        self._left += size


class FramedBody:
    """What follows one head; never reads beyond its own end."""

    def __init__(
        self,
        buffer: Buffer,
        *,
        length: int | None,
        proceed: Callable[[], Awaitable[None]] | None = None,
        patience: float = 60.0,
        rest: float = 300.0,
        room: Room | None = None,
    ) -> None:
        """Read from a buffer; ``proceed`` tells a client to send, before the first piece.

        ``patience``: seconds for a whole body, ``rest``: for its next piece; ``room`` is where a
        whole body is held until :meth:`let_go`.
        """
        self._buffer = buffer
        self._length = length
        self._proceed = proceed
        self._patience = patience
        self._rest = rest
        self._room = room
        self._held = 0
        self._left = length or 0
        self._in_chunk = False
        self.complete = length == 0
        """Whether its end was read."""

    @property
    def length(self) -> int | None:
        """Bytes that were announced; None for chunks."""
        return self._length

    @property
    def waits(self) -> bool:
        """Whether the client still waits to be told that it may send."""
        return self._proceed is not None and not self.complete

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """Return all of it; raises BodyTooLarge, Refusal (408, 503) or ClientLeft."""
        data = bytearray()
        try:
            async with asyncio.timeout(self._patience):
                async for piece in self.stream(limit):
                    self._hold(len(piece))
                    data += piece
        except TimeoutError:
            message = f"the request body took longer than {self._patience:g} seconds"
            raise Refusal(408, message, close=True) from None
        return bytes(data)

    def _hold(self, size: int) -> None:
        if self._room is not None:
            self._room.take(size)
            self._held += size

    def let_go(self) -> None:
        """Say that what was read is not needed any more."""
        if self._room is not None:
            self._room.give_back(self._held)
            self._held = 0

    async def stream(self, limit: int) -> AsyncIterator[bytes]:
        """Yield it piece by piece; raises BodyTooLarge, Refusal (408) or ClientLeft."""
        taken = 0
        if (self._length or 0) > limit:
            raise BodyTooLarge(limit)
        await self._allow()
        while not self.complete:
            if piece := await self._piece():
                taken += len(piece)
                if taken > limit:
                    raise BodyTooLarge(limit)
                yield piece

    def is_soon_over(self, limit: int) -> bool:
        """Whether its rest can be thrown away, as far as one can know."""
        return self.complete or (not self.waits and (self._length is None or self._left <= limit))

    async def drain(self, *, limit: int, seconds: float) -> bool:
        """Throw away a rest that is small and soon here; whether its end was reached."""
        if self.complete or not self.is_soon_over(limit):
            return self.complete
        try:
            async with asyncio.timeout(seconds):
                async for _ in self.stream(limit):
                    pass
        except (TimeoutError, Refusal):
            return False
        return self.complete

    async def _allow(self) -> None:
        if self._proceed is not None:
            proceed, self._proceed = self._proceed, None
            if not self._buffer.held:  # it has begun without being told
                await proceed()

    async def _piece(self) -> bytes:
        """Return what is next, or nothing where only framing was read."""
        if self._length is None and not self._left:
            await self._chunk_begins()
            return b""
        if not self._buffer.held:
            await self._more()
        data = self._buffer.take(min(self._left, CHUNK))
        self._left -= len(data)
        if self._length is not None:
            self.complete = self._left == 0
        return data

    async def _chunk_begins(self) -> None:
        if self._in_chunk:
            await self._line_end()
            self._in_chunk = False
        size = await self._chunk_size()
        if size == 0:
            await self._line_end()  # trailers are not taken
            self.complete = True
        else:
            self._left = size
            self._in_chunk = True

    async def _chunk_size(self) -> int:
        held = self._buffer.held
        while (end := held.find(b"\r\n", 0, _SIZE_LINE)) < 0:
            if len(held) >= _SIZE_LINE or not _SIZE.fullmatch(held.removesuffix(b"\r") or b"0"):
                raise refuse("the request body has a chunk without a proper size")
            await self._more()
        line = self._buffer.take(end + 2)[:end]
        if not _SIZE.fullmatch(line):
            raise refuse("the request body has a chunk without a proper size")
        return int(line, 16)

    async def _line_end(self) -> None:
        while len(self._buffer.held) < 2:
            await self._more()
        if self._buffer.take(2) != b"\r\n":
            raise refuse("the request body has a chunk without a proper end, or a trailer")

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(self._rest):
                came = await self._buffer.fill()
        except TimeoutError:
            message = f"nothing more of the request body came within {self._rest:g} seconds"
            raise Refusal(408, message, close=True) from None
        if not came:
            raise ClientLeft("the client ended in the middle of a request body")
