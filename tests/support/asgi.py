"""One request to an ASGI application, without a server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Asgi:
    """A client of an application."""

    app: App
    host: str = "127.0.0.1:8080"
    client: tuple[str, int] | None = ("127.0.0.1", 40000)
    server: tuple[str, int | None] = ("127.0.0.1", 8080)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(
        self,
        line: str,
        body: bytes | Any = b"",
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        chunks: Iterable[bytes] | None = None,
        kind: str = "http",
    ) -> Answer:
        """Ask ``"GET /path?query"``; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        messages = [data] if chunks is None else list(chunks)
        answer = Answer()
        scope = self.scope(line, headers, kind=kind)
        if chunks is not None:
            scope["headers"].append((b"transfer-encoding", b"chunked"))
        elif data:
            scope["headers"].append((b"content-length", b"%d" % len(data)))
        await self.app(scope, _receiver(messages), _sender(answer))
        return answer

    @asynccontextmanager
    async def stream(self, line: str) -> AsyncIterator[asyncio.Queue[bytes]]:
        """Ask, and have the chunks as they come; the client leaves at the end of the block."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message.get("body"):
                queue.put_nowait(message["body"])

        task = asyncio.ensure_future(self.app(self.scope(line, ()), receive, send))
        try:
            yield queue
        finally:
            left.set()
            await task

    def scope(
        self,
        line: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        kind: str = "http",
    ) -> dict[str, Any]:
        method, _, target = line.partition(" ")
        path, _, query = target.partition("?")
        given = headers.items() if isinstance(headers, Mapping) else headers
        every = [("Host", self.host), *self.headers.items(), *given]
        if any(name == "Host" for name, _ in given):
            every = every[1:]
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            **({"method": method} if kind == "http" else {"subprotocols": []}),
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in every],
            "client": self.client,
            "server": self.server,
            "state": {},
        }


def _receiver(chunks: list[bytes]) -> Callable[[], Awaitable[dict[str, Any]]]:
    waiting = list(chunks)
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not waiting:
            await never.wait()
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    return receive


def _sender(answer: Answer) -> Callable[[dict[str, Any]], Awaitable[None]]:
    async def send(message: dict[str, Any]) -> None:
        what = message["type"].removeprefix("websocket.").removeprefix("http.")
        if what == "response.start" or message["type"] == "websocket.http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
        elif message.get("body"):
            answer.chunks.append(message["body"])

    return send
