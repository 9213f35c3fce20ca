"""One request and its answer on a connection of their own, both streamed."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

import h11

from wherry.errors import EngineError
from wherry.models import CHUNK

if TYPE_CHECKING:
    import asyncio

_HEAD_BYTES = 64 * 1024


class Exchange:
    """A request that is sent while its answer comes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, where: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._where = where
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._failure: Exception | None = None
        self.done = False
        """Whether the answer has come to its end."""

    async def send(self, head: h11.Request, body: bytes | AsyncIterable[bytes]) -> None:
        """Send everything; one who stops reading may still have an answer for us.

        What the body's source raises ends the exchange and comes out where it is read.
        """
        try:
            await self._send(head, body)
        except Exception as error:  # noqa: BLE001 - raised again by whoever reads the answer
            self._failure = error
            self._writer.transport.abort()

    async def head(self) -> h11.Response:
        """Return the answer's head."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the answer's body; raises :class:`EngineError` when it is cut."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                self.done = True
                return

    async def _send(self, head: h11.Request, body: bytes | AsyncIterable[bytes]) -> None:
        if not await self._write(head):
            return
        if isinstance(body, bytes):
            if body:
                await self._write(h11.Data(data=body))
        else:
            async for chunk in body:
                if not await self._write(h11.Data(data=chunk)):
                    return
        await self._write(h11.EndOfMessage())

    async def _next(self) -> h11.Event:
        try:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(CHUNK))
                elif isinstance(event, h11.Event):
                    return event
                else:
                    raise self._cut("it closed the connection")
        except (OSError, h11.RemoteProtocolError) as error:
            raise self._cut(str(error) or "the connection was lost") from error

    def _cut(self, why: str) -> Exception:
        return self._failure or EngineError(f"the answer of {self._where} was cut off: {why}")

    async def _write(self, event: h11.Event) -> bool:
        try:
            self._writer.write(self._http.send(event) or b"")
            await self._writer.drain()
        except (OSError, h11.LocalProtocolError):
            return False
        return True
