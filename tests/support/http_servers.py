"""HTTP servers that run behind a door of the memory engine: h11, and a few lines each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import h11

Handle = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as a server sees it."""

    request: h11.Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return bytes(self.request.target).decode()

    async def body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await next_event(self.http, self.reader), h11.Data):
            yield bytes(event.data)

    async def send(self, event: Any) -> None:
        self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()

    async def answer(
        self, body: bytes = b"", *, status: int = 200, headers: Any = (("content-type", "a/b"),)
    ) -> None:
        length = ("content-length", str(len(body)))
        await self.send(h11.Response(status_code=status, headers=[*headers, length]))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())

    async def begin(self, *, kind: str = "text/plain") -> None:
        """Begin an answer of unknown length."""
        await self.send(h11.Response(status_code=200, headers=[("content-type", kind)]))

    async def write(self, data: bytes) -> None:
        await self.send(h11.Data(data=data))


async def next_event(http: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(65536))
    return event


def http(handle: Handle) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return what serves one connection, one request of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        request = await next_event(connection, reader)
        if not isinstance(request, h11.Request):
            return
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        await handle(Exchange(request, reader, writer, connection, headers))

    return serve
