"""One HTTP exchange in both directions at once, over ASGI.

Exactly one task owns ``receive()``: whoever else listened for a disconnect would throw away a
piece of the body. Body and answer are pulled and pushed with backpressure, one chunk at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from wherry import streams
from wherry.errors import TooLarge, WherryError
from wherry.service.live import CallerLeft
from wherry.units import format_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from starlette.types import Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]
HOLD_BACK = 64 * 1024
"""Bytes of an answer that wait for its status; what is longer goes out live."""
DEPARTURE = "wherry.departure"
"""ASGI extension: a function that takes what is to be called when the client has gone, also
while nothing is received. Without it a departure is seen once the body is taken."""


class BodyTooLarge(TooLarge):
    """The request's body is larger than is taken."""


class AnswerCut(WherryError):
    """The answer went wrong after its status had gone: its connection is to be ended.

    It leaves the ASGI application, whose server closes the connection without the last chunk.
    """


class RequestBody:
    """The body of a request, as the source that an engine pulls: one chunk waits at most.

    A caller who leaves in the middle does not end it: nobody takes half a body for a whole one.
    """

    def __init__(self, *, limit: int | None) -> None:
        self._limit = limit
        self._size = 0
        self._chunk = b""
        self._ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._taken = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._chunk:
                data, self._chunk = self._chunk, b""
                self._taken.set()
                return data
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    async def offer(self, data: bytes, *, more: bool) -> bool:
        """Hand over what came, and wait until it was taken; False: it was more than is taken."""
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            self.fail(too_large(self._limit))
            return False
        self._chunk = data
        self._ended = not more
        self._news.set()
        if data and more:
            self._taken.clear()
            await self._taken.wait()
        return True

    def fail(self, error: Exception) -> None:
        """Let whoever pulls hear of an error."""
        self._error = error
        self._news.set()


class Duplex:
    """A request and its answer; an ``async with`` block is its life.

    A caller who leaves cancels the block, which then raises :class:`CallerLeft`. Entering raises
    :class:`BodyTooLarge` when the request itself says that its body is.
    """

    def __init__(
        self, scope: Scope, *, receive: Receive, send: Send, max_body: int | None = None
    ) -> None:
        self.scope = scope
        self.started = False
        """Whether the status has gone."""
        self.complete = False
        """Whether the answer has gone, all of it."""
        self.receive = receive
        self.send = send
        self._max_body = max_body
        self._body = RequestBody(limit=max_body)
        self._task: asyncio.Task[object] | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._cancelling = 0
        self._left = False

    @property
    def body(self) -> AsyncIterator[bytes]:
        """The body, to be pulled; :data:`wherry.streams.NOTHING` where there is none."""
        return self._body if has_body(self.scope) else streams.NOTHING

    async def __aenter__(self) -> Self:
        length = content_length(self.scope)
        if self._max_body is not None and length is not None and length > self._max_body:
            raise too_large(self._max_body)
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._receiver = asyncio.create_task(self._receive_all())
        departure = self.scope.get("extensions", {}).get(DEPARTURE)
        if departure is not None:
            departure(self._leave)
        if any(name == b"expect" for name, _ in self.scope["headers"]):
            await asyncio.sleep(0)  # a body that waits for a 100 is asked for before any answer
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.complete = True  # from here on nobody can leave
        if self._receiver is not None:
            self._receiver.cancel()
        if self._left and self._task is not None:
            mine = self._task.uncancel() <= self._cancelling
            if mine and isinstance(error, asyncio.CancelledError):
                raise CallerLeft("the caller left before the call ended") from error

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and the headers."""
        self.started = True
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a piece of the answer; waits while the caller does not read."""
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece of the answer."""
        self.complete = True
        await self.send({"type": "http.response.body", "body": data, "more_body": False})

    async def answer(self, status: int, body: bytes, *, headers: Headers = ()) -> None:
        """Send a whole answer."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def _receive_all(self) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self._leave()
                return
            more = message.get("more_body", False)
            if not await self._body.offer(message.get("body", b""), more=more):
                return

    def _leave(self) -> None:
        if self.complete or self._left or self._task is None:
            return
        if self._task.cancelling() == self._cancelling:  # else it is ended by somebody else
            self._left = True
            self._task.cancel()


class HeldAnswer:
    """An answer whose first bytes wait until its status is known, or until they are too many."""

    def __init__(self, exchange: Duplex, *, live: bool) -> None:
        self._exchange = exchange
        self._limit = 0 if live else HOLD_BACK
        self._held = bytearray()

    @property
    def live(self) -> bool:
        """Whether the status has gone, so that nothing can be said any more but the end."""
        return self._exchange.started

    @property
    def held(self) -> bytes:
        """What waits for its status."""
        return bytes(self._held)

    async def write(self, data: bytes) -> bool:
        """Take some of the answer; True when it is to :meth:`go_live` now."""
        if self.live:
            await self._exchange.write(data)
            return False
        self._held += data
        return len(self._held) > self._limit

    async def go_live(self, status: int, headers: Headers) -> None:
        """Send the head and what was held back; the rest follows as it comes."""
        await self._exchange.start(status, headers)
        data, self._held = bytes(self._held), bytearray()
        await self._exchange.write(data)

    async def finish(self, status: int, *, headers: Headers, body: bytes | None = None) -> None:
        """Send what was held back, or ``body`` in its place, with the true status."""
        await self._exchange.answer(status, self.held if body is None else body, headers=headers)


def content_length(scope: Scope) -> int | None:
    """Return the length that a request says its body has; None when it says none."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


def has_body(scope: Scope) -> bool:
    """Whether a request says that it has a body; over HTTP/2 it need not say so."""
    if scope.get("http_version", "1.1").startswith(("2", "3")):
        return True
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


def too_large(limit: int) -> BodyTooLarge:
    """Return the error for a body of more than ``limit`` bytes."""
    return BodyTooLarge(
        f"the request's body is larger than {format_size(limit)} ({limit} bytes), which is the "
        "most that is taken"
    )
