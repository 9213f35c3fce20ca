"""One exchange with an ASGI application, step by step: the test is the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.support.asgi import Asgi

if TYPE_CHECKING:
    from tests.support.asgi import App


class Exchanging:
    """What a client does: send pieces, read pieces, stop reading, leave."""

    def __init__(self, app: App, line: str, headers: Mapping[str, str]) -> None:
        self.scope = Asgi(app).scope(line, headers)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.received = bytearray()
        self.complete = False
        self.receiving = 0
        """Calls of receive() that wait now."""
        self.most_receiving = 0
        self._app = app
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.Event()
        self._reading.set()
        self._news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def send(self, data: bytes, *, more: bool = True) -> None:
        self._incoming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    @property
    def untaken(self) -> int:
        """Pieces that were sent and that nobody asked for yet."""
        return self._incoming.qsize()

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    def stop_reading(self) -> None:
        self._reading.clear()

    def read_on(self) -> None:
        self._reading.set()

    async def until(self, count: int) -> bytes:
        """Wait until so many bytes of the answer came."""
        async with asyncio.timeout(10):
            while len(self.received) < count:
                self._news.clear()
                await self._news.wait()
        return bytes(self.received)

    async def end(self) -> None:
        """Wait until the application is done; raises what it raised."""
        assert self.task is not None
        async with asyncio.timeout(10):
            await asyncio.shield(self.task)

    def start(self) -> None:
        self.task = asyncio.ensure_future(self._app(self.scope, self._receive, self._take))

    async def _receive(self) -> dict[str, Any]:
        self.receiving += 1
        self.most_receiving = max(self.most_receiving, self.receiving)
        try:
            return await self._incoming.get()
        finally:
            self.receiving -= 1

    async def _take(self, message: dict[str, Any]) -> None:
        await self._reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
        else:
            self.received += message.get("body", b"")
            self.complete = not message.get("more_body", False)
        self._news.set()


@asynccontextmanager
async def exchanging(
    app: App, line: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Exchanging]:
    """Begin a request with a body of unknown length; it is over when the block is."""
    made = Exchanging(app, line, {"Transfer-Encoding": "chunked", **(headers or {})})
    made.start()
    try:
        yield made
    finally:
        assert made.task is not None
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)
