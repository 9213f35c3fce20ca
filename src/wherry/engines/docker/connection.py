"""One HTTP/1.1 connection to an engine, which may turn into a raw stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from wherry.engines.docker.duplex import Duplex

_HEAD_BYTES = 64 * 1024
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, ready to be sent."""

    method: str
    target: str
    headers: tuple[Header, ...] = ()
    body: bytes | AsyncIterable[bytes] = b""
    upgrade: bool = False

    def head(self) -> h11.Request:
        """Return the head; a body of unknown length is sent in chunks."""
        headers = [(b"Host", b"docker"), (b"User-Agent", b"wherry"), *self.headers]
        if isinstance(self.body, bytes):
            headers.append((b"Content-Length", str(len(self.body)).encode()))
        else:
            headers.append((b"Transfer-Encoding", b"chunked"))
        if self.upgrade:
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"tcp")]
        return h11.Request(method=self.method, target=self.target, headers=headers)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""


class Connection:
    """One exchange after the other, never two at once.

    Raises what the transport raises (see :mod:`~wherry.engines.docker.failures`): whoever knows
    what the exchange was for translates it.
    """

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self.idle_since = 0.0
        """When it began to wait for its next exchange; 0 when it never has."""

    async def exchange(self, request: Request) -> Head:
        """Send a request and return the head of its response."""
        data = self._http.send(request.head()) or b""
        if isinstance(request.body, bytes):
            if request.body:
                data += self._http.send(h11.Data(data=request.body)) or b""
            await self._duplex.write(data + (self._http.send(h11.EndOfMessage()) or b""))
            return await self._head(request)
        await self._duplex.write(data)
        return await self._stream(request, request.body)

    async def _stream(self, request: Request, body: AsyncIterable[bytes]) -> Head:
        """Send a body and listen meanwhile: an engine that refuses it does not read to its end."""
        sending = asyncio.create_task(self._send(body))
        answering = asyncio.create_task(self._head(request))
        try:
            await asyncio.wait([sending, answering], return_when=asyncio.FIRST_COMPLETED)
            error = None if answering.done() else sending.exception()
            if error is not None and not isinstance(error, ConnectionError):
                raise error
            return await answering
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)

    async def _send(self, body: AsyncIterable[bytes]) -> None:
        async for chunk in body:
            await self._duplex.write(self._http.send(h11.Data(data=chunk)) or b"")
        await self._duplex.write(self._http.send(h11.EndOfMessage()) or b"")

    async def _head(self, request: Request) -> Head:
        while True:
            event = await self._next()
            if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                continue
            if isinstance(event, h11.Response | h11.InformationalResponse):
                return _head_of(event)
            raise EOFError(f"no answer to {request.method} {request.target}")

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if not isinstance(event, type) or event is h11.PAUSED:
                return event  # all but NEED_DATA
            self._http.receive_data(await self._duplex.read())

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body of the response; raises h11.RemoteProtocolError when it is cut.

        Chunks that have come by one read are one piece: an engine sends one for each line of logs.
        """
        event: object = h11.NEED_DATA
        while event is h11.NEED_DATA:
            event = await self._next()
            piece = bytearray()
            while isinstance(event, h11.Data):
                piece += event.data
                event = self._http.next_event()
            if piece:
                yield bytes(piece)
        if not isinstance(event, h11.EndOfMessage):
            raise EOFError("the response ended early")  # noqa: TRY004

    async def read(self, limit: int) -> bytes:
        """Return the whole body of the response; raises EOFError when it exceeds the limit."""
        data = bytearray()
        async for chunk in self.body():
            data += chunk
            if len(data) > limit:
                raise EOFError(f"the response is larger than {limit} bytes")
        return bytes(data)

    def detach(self) -> tuple[Duplex, bytes]:
        """Return the raw stream after a hijack, and what was read of it with the head."""
        carried, _ = self._http.trailing_data
        return self._duplex, carried

    def renew(self) -> bool:
        """Get ready for the next exchange; False when this connection has had its last."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self.idle_since = asyncio.get_running_loop().time()
        return not self._duplex.is_stale()

    def is_stale(self) -> bool:
        """Whether the peer closed it while it was idle."""
        return self._duplex.is_stale()

    def close(self) -> None:
        """Drop it."""
        self._duplex.close()

    async def wait_closed(self) -> None:
        """Wait until everything behind it has ended."""
        await self._duplex.wait_closed()


def _head_of(event: h11.Response | h11.InformationalResponse) -> Head:
    headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
    return Head(event.status_code, headers)
