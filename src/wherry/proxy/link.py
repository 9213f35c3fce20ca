"""One HTTP exchange on one connection to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

from wherry.proxy.wires import SocketWire

if TYPE_CHECKING:
    from wherry.engines.docker.duplex import Duplex

_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""


class Link:
    """A connection for one exchange; whoever opened it closes it.

    Reading raises what the transport raises, :mod:`~wherry.engines.docker.failures` says what
    that is, and what the source of the request's body raised: then nobody is answered. An engine
    that does not take all of a request is no error here: it has answered, or is gone, and reading
    tells which.
    """

    def __init__(self, duplex: Duplex) -> None:
        self.duplex = duplex
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._sending: asyncio.Task[None] | None = None

    # ---- asking ----------------------------------------------------------------------------

    async def send(self, request: h11.Request, body: bytes) -> None:
        """Send a whole request at once."""
        data = self._http.send(request) or b""
        if body:
            data += self._http.send(h11.Data(data=body)) or b""
        await self._write(data + (self._http.send(h11.EndOfMessage()) or b""))

    async def begin(self, request: h11.Request, body: AsyncIterable[bytes]) -> None:
        """Send a request whose body goes on while the answer is awaited, and read."""
        await self._write(self._http.send(request) or b"")
        self._sending = asyncio.create_task(self._send(body))
        self._sending.add_done_callback(self._sent)

    async def _send(self, body: AsyncIterable[bytes]) -> None:
        async for piece in body:
            data = self._http.send(h11.Data(data=piece)) or b""
            if not await self._write(data):
                return
        await self._write(self._http.send(h11.EndOfMessage()) or b"")

    def _sent(self, sending: asyncio.Task[None]) -> None:
        """Wake whoever waits for the engine when the body breaks off: no answer will come."""
        if not sending.cancelled() and sending.exception() is not None:
            if isinstance(self.duplex, SocketWire):
                self.duplex.cut()
            else:
                self.duplex.close()

    async def _write(self, data: bytes) -> bool:
        try:
            await self.duplex.write(data)
        except OSError:
            return False
        return True

    # ---- the answer ------------------------------------------------------------------------

    async def head(self, timeout: float | None) -> Head:
        """Return the head of the answer, within ``timeout`` seconds after the body was sent.

        An engine that refuses a body does not read to its end, and is not sent the rest of it.
        """
        if self._sending is None:
            async with asyncio.timeout(timeout):
                return await self._head()
        hearing = asyncio.create_task(self._head())
        try:
            await asyncio.wait([hearing, self._sending], return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                self._sending.result()
                async with asyncio.timeout(timeout):
                    return await hearing
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        self._blame_source()
        if (head := hearing.result()).status >= 400:
            self._sending.cancel()
        return head

    def _blame_source(self) -> None:
        """Raise what the source of the body raised: what the engine says then is its echo."""
        if (sending := self._sending) is not None and sending.done() and not sending.cancelled():
            sending.result()

    async def _head(self) -> Head:
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return _head_of(event)
            if not isinstance(event, h11.InformationalResponse):
                raise EOFError("no answer")  # noqa: TRY004 - the engine has closed
            if event.status_code == 101:
                return _head_of(event)

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.duplex.read())
        return event  # type: ignore[return-value] # NEED_DATA is excluded above

    async def piece(self) -> bytes:
        """Return the next piece of the answer's body, empty at its end."""
        while True:
            try:
                event = await self._next()
            except (OSError, EOFError, h11.ProtocolError):
                self._blame_source()
                raise
            if isinstance(event, h11.EndOfMessage):
                self._blame_source()
                return b""
            if not isinstance(event, h11.Data):
                self._blame_source()
                raise EOFError("the answer ended early")  # noqa: TRY004 - the engine has closed
            if event.data:
                return bytes(event.data)

    def carried(self) -> bytes:
        """Return what was read beyond a head that turned the connection into a raw stream."""
        return self._http.trailing_data[0]

    async def aclose(self) -> None:
        """Send no more, and close."""
        try:
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.gather(self._sending, return_exceptions=True)
        finally:  # a client may leave at any time, this one included
            self.duplex.close()
        await self.duplex.wait_closed()


def _head_of(event: h11.Response | h11.InformationalResponse) -> Head:
    headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
    return Head(event.status_code, headers)
