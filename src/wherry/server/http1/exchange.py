"""One request and its answer on a connection: ASGI's receive() and send()."""

from __future__ import annotations

import asyncio
import http
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from wherry.web.duplex import DEPARTURE, AnswerCut

if TYPE_CHECKING:
    from starlette.types import Message

    from wherry.server.http1.connection import Connection

_log = logging.getLogger(__name__)
_BAD_NAME = re.compile(rb"[\x00-\x20\x7f-\xff()<>@,;:\[\]={}\\\"/?]")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = frozenset({204, 304})
_ENOUGH = 256 * 1024
"""Bytes of a body that wait for the application before the client is not read any more."""


class Exchange:
    """What an ASGI application is called with, and what becomes of it."""

    def __init__(self, connection: Connection, scope: dict[str, Any], *, keep_alive: bool) -> None:
        self.scope = scope
        self.started = False
        self.complete = False
        self.body_complete = False
        self.expects = False
        """Whether the client waits for a 100 before it sends its body."""
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()
        self._gone = False
        self._departed: list[Callable[[], None]] = []
        self._head = b""
        self._chunked = False
        self._without_body = False
        self._told = False
        self._left: int | None = None
        """Bytes that the answer's Content-Length says are still to come."""
        scope["extensions"] = {DEPARTURE: self._on_departure}

    # ---- what the connection tells ---------------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """Take a piece of the body; False when that is enough for now."""
        if self.complete:
            return True
        self._pieces.append(data)
        self._waiting += len(data)
        self._news.set()
        return self._waiting < _ENOUGH

    def fed(self) -> None:
        """Note that the body is complete."""
        self.body_complete = True
        self._news.set()

    def depart(self) -> None:
        """Note that the client has gone."""
        if self._gone or self.complete:
            return
        self._gone = True
        self._news.set()
        for callback in self._departed:
            callback()

    # ---- ASGI ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Let the application answer; what it does not answer well ends the connection."""
        try:
            await self._connection.host.app(self.scope, self.receive, self.send)
        except AnswerCut as cut:
            _log.info("an answer was cut", extra={"reason": str(cut)})
        except asyncio.CancelledError:
            await self._refuse(503, b"the server is stopping\n")
            return
        except Exception:  # noqa: BLE001 - whatever it is, it ends this one exchange
            _log.exception("a mistake in the application")
        if not self.complete and not self._gone:
            await self._refuse(500, b"a mistake in wherry itself; its log says more\n")

    async def receive(self) -> Message:
        """Return the next piece of the body, or that the client has gone."""
        if self.expects and not self.started:
            self.expects = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._pieces or self._gone or self.complete):
            if self.body_complete and not self._told:
                break
            self._news.clear()
            await self._news.wait()
        if self._gone or self.complete:
            return {"type": "http.disconnect"}
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        self._told = self.body_complete
        self._connection.resume()
        return {"type": "http.request", "body": data, "more_body": not self.body_complete}

    async def send(self, message: Message) -> None:
        """Send a part of the answer; waits while the client does not take it."""
        if self._gone:
            await asyncio.sleep(0)  # who writes without end gets to hear that it is cancelled
            return
        if message["type"] == "http.response.start":
            self._start(message)
            asyncio.get_running_loop().call_soon(self._flush)
            return
        if not self.started or self.complete:
            raise RuntimeError(f"{message['type']} before the start or after the end")
        more = message.get("more_body", False)
        data = self._head + self._framed(message.get("body", b""), more=more)
        self._head = b""
        if not more:
            if self._left:
                raise RuntimeError("the answer is shorter than its Content-Length")
            self.complete = True
            self._news.set()
        self._connection.write(data)
        if not more:
            self._connection.answered(self)
        elif not await self._connection.drained():
            self.depart()

    def _start(self, message: Message) -> None:
        if self.started:
            raise RuntimeError("the answer has started already")
        status: int = message["status"]
        self._without_body = self.scope["method"] == "HEAD" or status in _BODILESS
        lines = [_status_line(status), self._connection.host.date()]
        lines += [b"%s: %s\r\n" % each for each in self._kept(message.get("headers", ()))]
        if self.expects:
            self.keep_alive = False  # a body may follow or not: nobody can tell
        if self._left is None and not self._without_body:
            self._chunked = self.scope["http_version"] == "1.1"
            self.keep_alive = self.keep_alive and self._chunked
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self.scope["http_version"] == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        self.started = True
        self._head = b"".join([*lines, b"\r\n"])

    def _flush(self) -> None:
        """Send the head by itself, where nothing of the body came at once."""
        head, self._head = self._head, b""
        self._connection.write(head)

    def _kept(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the headers that are sent; how an answer is framed is ours to say."""
        for given, value in headers:
            name = given.lower()
            if not name or _BAD_NAME.search(name) or _BAD_VALUE.search(value):
                raise ValueError(f"header {name!r} cannot be sent")
            if name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
            elif name != b"transfer-encoding":
                if name == b"content-length":
                    self._left = 0 if self._without_body else int(value)
                yield name, value

    def _framed(self, data: bytes, *, more: bool) -> bytes:
        if self._without_body:
            return b""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._left is not None:
            if len(data) > self._left:
                raise RuntimeError("the answer is longer than its Content-Length")
            self._left -= len(data)
        return data

    # ---- endings ---------------------------------------------------------------------------

    async def _refuse(self, status: int, line: bytes) -> None:
        """Answer what was not answered, or end the connection in the middle of it."""
        if self._gone or self.complete:
            return
        if self.started:
            self._connection.cut(abruptly=not self._chunked and self._left is None)
            self.complete = True
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(line)),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": line})

    def _on_departure(self, callback: Callable[[], None]) -> None:
        self._departed.append(callback)
        if self._gone:
            callback()


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()
