"""Making a queued call of a function that answers requests itself: its request is made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wherry.calls.retrying import retry_after
from wherry.triggers.http.heads import header

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from wherry.calls.model import QueuedRequest
    from wherry.calls.performing import Body, Run, Write
    from wherry.functions.model import Deployed

_OF_TRANSFER = frozenset({"content-length", "transfer-encoding", "expect", "connection"})


class Replay:
    """A :class:`wherry.calls.performing.Performer` around the application of a mode.

    The body of the answer is the result; its status says what becomes of the call.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(
        self,
        deployed: Deployed,
        request: QueuedRequest,
        *,
        body: Body,
        run: Run,
        write: Write,
    ) -> None:
        """Make the request, and take the answer."""
        answer = _Answer(run, write)
        await self._app(_scope(deployed, request, size=body.size), _Body(body).receive, answer.send)


class _Body:
    """The body of a request as ASGI has it; its sender stays until the answer has come."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(source)
        self._ended = False

    async def receive(self) -> Message:
        if self._ended:
            await asyncio.Event().wait()
        chunk = await anext(self._chunks, b"")
        self._ended = not chunk
        return {"type": "http.request", "body": chunk, "more_body": not self._ended}


class _Answer:
    def __init__(self, run: Run, write: Write) -> None:
        self._run = run
        self._write = write

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._run.status = message["status"]
            found = header({"headers": message.get("headers", ())}, b"retry-after")
            self._run.retry_after = retry_after(found.decode("latin-1") if found else None)
        elif message["type"] == "http.response.body" and message.get("body"):
            await self._write(bytes(message["body"]))


def _scope(deployed: Deployed, request: QueuedRequest, *, size: int) -> Scope:
    call = request.id.encode("latin-1")
    path = f"/function/{request.qualified}{request.path}"
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in request.headers
        if name not in _OF_TRANSFER and name != "x-call-id"
    ]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "root_path": "",
        "query_string": request.query.encode(),
        "headers": [*headers, (b"content-length", str(size).encode()), (b"x-call-id", call)],
        "client": None,
        "server": None,
        "extensions": {},
        "wherry.function": deployed,
        "wherry.path": request.path,
    }
    return scope
