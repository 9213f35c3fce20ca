"""One HTTP exchange with a server, whose two directions are independent of each other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import h11

from wherry.engines.remote.protocol import Garbled
from wherry.errors import EngineError, EngineUnavailable
from wherry.models import CHUNK

if TYPE_CHECKING:
    from wherry.engines.remote.address import Address

_CONNECT_SECONDS = 15.0
_RESET = struct.pack("ii", 1, 0)
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_FAILURES = (OSError, ssl.SSLError, h11.ProtocolError, EOFError, Garbled)
"""What sockets, TLS and parsers raise; TimeoutError is an OSError."""


class Link:
    """A connection that serves one exchange."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, address: Address
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._address = address
        self._http = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str, target: str, *, body: bytes | None, media: str | None = None
    ) -> None:
        """Send a request; with a ``media`` type and no body, the body follows in :meth:`write`."""
        headers = [
            ("Host", self._address.authority),
            ("Authorization", f"Bearer {self._address.token}"),
            ("Connection", "close"),
        ]
        if media is not None:
            headers.append(("Content-Type", media))
        if body is not None:
            headers.append(("Content-Length", str(len(body))))
        elif media is not None:
            headers.append(("Transfer-Encoding", "chunked"))
        data = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
        if body:
            data += self._http.send(h11.Data(data=body)) or b""
        if body is not None:
            data += self._http.send(h11.EndOfMessage()) or b""
        await self._send(data)

    async def write(self, data: bytes) -> None:
        """Send a part of the body, and wait while the server does not take it."""
        await self._send(self._http.send(h11.Data(data=data)) or b"")

    async def head(self) -> int:
        """Return the status of the answer."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event.status_code

    async def piece(self) -> bytes:
        """Return what has come of the answer's body; empty is its end."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                return b""

    async def rest(self, *, most: int) -> bytes:
        """Return the answer's body, of at most so many bytes."""
        found = bytearray()
        while len(found) < most and (data := await self.piece()):
            found += data
        return bytes(found[:most])

    def close(self) -> None:
        """Drop the connection at once, with what is still to be sent. Idempotent.

        An ordinary end would wait behind input that the server does not read.
        """
        if not self._writer.transport.is_closing():
            raw: socket.socket = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until it is dropped."""
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()

    async def _send(self, data: bytes) -> None:
        if self._writer.transport.is_closing():
            raise BrokenPipeError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(CHUNK)
            self._http.receive_data(data)
            if not data and self._http.their_state is h11.SEND_BODY:
                self._http.next_event()  # raises, where the end has not been said
                raise EOFError("the connection was cut")
        if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise EOFError("the connection was cut")
        return event


class Dialer:
    """Opens links to one server; certificates are read once."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def dial(self) -> Link:
        """Open a connection. Raises EngineUnavailable."""
        address = self._address
        context = self._context if address.is_secure else None
        with unreachable(address):
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    address.host, address.port, ssl=context, limit=CHUNK
                )
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return Link(reader, writer, address=address)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        with unreachable(self._address):
            return ssl.create_default_context(cafile=self._address.ca)


@contextlib.contextmanager
def unreachable(address: Address) -> Iterator[None]:
    """Raise EngineUnavailable, naming the address, for what connecting raises."""
    try:
        yield
    except _FAILURES as error:
        raise EngineUnavailable(f"engine {address} cannot be reached: {_words(error)}") from error


@contextlib.contextmanager
def failing(operation: str, *, address: Address) -> Iterator[None]:
    """Raise EngineError, naming the operation and the address, for what an exchange raises."""
    try:
        yield
    except _FAILURES as error:
        raise EngineError(f"engine {address}: {operation} failed: {_words(error)}") from error


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error) or type(error).__name__
