"""A client that speaks HTTP byte by byte, to an application behind our own protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from wherry.server.http1.connection import Connection
from wherry.server.http1.departures import Departures
from wherry.server.http1.host import Host, Patience
from wherry.web.duplex import Duplex

App = Callable[[Any, Any, Any], Awaitable[None]]
OK = [(b"content-length", b"2")]


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": OK})
    await send({"type": "http.response.body", "body": b"ok"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    async with Duplex(scope, receive=receive, send=send) as exchange:
        await exchange.start(200, [(b"x-path", scope["raw_path"])])
        async for chunk in exchange.body:
            await exchange.write(chunk)
        await exchange.end()


class Wire:
    """One connection, from the client's side."""

    def __init__(self, host: Host, opened: socket.socket) -> None:
        self.host = host
        self.socket = opened
        self._loop = asyncio.get_running_loop()
        self._unread = b""

    async def send(self, data: bytes | str) -> None:
        encoded = data.encode() if isinstance(data, str) else data
        await self._loop.sock_sendall(self.socket, encoded)

    async def ask(self, *lines: str, body: bytes = b"") -> None:
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def until(self, mark: bytes) -> bytes:
        """Read to ``mark``, which is included."""
        while mark not in self._unread:
            if not (data := await self._read()):
                raise EOFError(f"no {mark!r} in {self._unread!r}")
            self._unread += data
        found, self._unread = self._unread.split(mark, 1)
        return found + mark

    async def exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            if not (data := await self._read()):
                raise EOFError(f"only {self._unread!r}")
            self._unread += data
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    async def rest(self) -> bytes:
        """Read until the server closes."""
        found = self._unread
        while data := await self._read():
            found += data
        return found

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer that has a length, or chunks to their end."""
        head = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
        if "content-length" in headers:
            body = await self.exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += (await self.exactly(size + 2))[:-2]
            await self.until(b"\r\n")
        else:
            body = await self.rest()
        return int(head[0].split()[1]), headers, body

    def close(self) -> None:
        self.socket.close()

    async def _read(self) -> bytes:
        async with asyncio.timeout(10):
            return await self._loop.sock_recv(self.socket, 65536)


@asynccontextmanager
async def wire(app: App, *, patience: Patience | None = None) -> AsyncIterator[Wire]:
    """Connect to an application; all it started has ended when the block is left."""
    departures = Departures()
    host = Host(app=app, departures=departures, patience=patience or Patience())
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(host), ours)
    client = Wire(host, theirs)
    try:
        yield client
    finally:
        client.close()
        async with asyncio.timeout(10):
            while host.connections or host.tasks:
                await asyncio.sleep(0)
        departures.close()
