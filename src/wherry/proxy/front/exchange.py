"""One request and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING

from wherry.proxy.front import answers
from wherry.proxy.front.problems import ClientLeft

if TYPE_CHECKING:
    from wherry.proxy.front.connection import Connection
    from wherry.proxy.front.request import Peer, Request
    from wherry.proxy.upstream import Hijacked

JSON = "application/json"


class Exchange:
    """What a handler answers on, once: a whole body, a stream, or a hijacked connection.

    The answer's head is made here: a handler gives ``headers`` that are all its own (the names
    the policy allows, such as ``Api-Version`` or ``X-Docker-Container-Path-Stat``); framing,
    ``Connection``, ``Date`` and ``Location`` are refused with ValueError. HEAD requests and the
    statuses 204 and 304 never get a body, whatever is given.

    A client that leaves does not interrupt a handler, so that what was begun can be recorded;
    only blocks of :meth:`while_present`, streams and hijacks end then, with :class:`ClientLeft`.
    """

    def __init__(self, connection: Connection, request: Request, *, keeps: bool) -> None:
        self.request = request
        self.peer: Peer = connection.peer
        self.answered = False
        """Whether an answer has begun."""
        self.complete = False
        """Whether it was sent to its end."""
        self.keeps = keeps
        """Whether the client may ask again on the same connection."""
        self._connection = connection

    async def answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole answer; raises ClientLeft."""
        lines = self._closing()
        if status not in answers.BODILESS:
            if body:
                lines.append(("Content-Type", content_type))
            lines.append(("Content-Length", str(len(body))))
        data = answers.head(status, *lines, own=headers)
        if self.request.method != "HEAD" and status not in answers.BODILESS:
            data += body
        self._begin()
        with _leaving():
            async with asyncio.timeout(self._connection.patience.answer):
                await self._connection.wire.write(data)
        self.complete = True

    async def json(
        self, status: int, value: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a value as JSON, as the engine does: compact, with a line end."""
        await self.answer(status, answers.compact(value), headers=headers)

    async def refuse(self, status: int, message: str) -> None:
        """Send ``{"message": …}``."""
        await self.answer(status, answers.message(message))

    async def stream(
        self,
        status: int,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send the head at once, then every chunk as it comes, then the end.

        No buffer: a client that does not read stops the source. When ``chunks`` raises, or the
        client leaves, the connection is cut without the last chunk: nobody takes half an answer
        for all of it. The exception goes on to the caller (ClientLeft when the client left).
        """
        in_chunks = self.request.version == "1.1"
        with self._connection.streaming():
            lines = [*self._closing(), ("Content-Type", content_type)]
            if in_chunks:
                lines.append(("Transfer-Encoding", "chunked"))
            data = answers.head(status, *lines, own=headers)
            self._begin()
            async with self.while_present():
                await self._write(data)
                if self.request.method != "HEAD":
                    await self._stream(chunks, in_chunks=in_chunks)
        self.complete = True

    async def _stream(self, chunks: AsyncIterable[bytes], *, in_chunks: bool) -> None:
        async for piece in chunks:
            if piece:
                await self._write(answers.chunk(piece) if in_chunks else piece)
        if in_chunks:
            await self._write(answers.LAST_CHUNK)

    async def hijack(self, upstream: Hijacked) -> None:
        """Answer as the engine did (101, or 200 without a length), then join both connections.

        The head is sent on its own. Returns when both directions have ended; the end of one
        direction is a half-close of the other side. Bytes that came after the framed body of
        the request belong to the stream from here on. The client's connection ends with it.
        """
        with self._connection.streaming():
            data = answers.head(upstream.status, *_hijacked_lines(upstream))
            self._begin()
            self.keeps = False
            with _leaving():
                await self._connection.wire.write(data)
                await self._connection.join(upstream)
        self.complete = True

    def while_present(self) -> AbstractAsyncContextManager[None]:
        """Cancel what is in the block when the client leaves; the block then raises ClientLeft.

        For what is only of use to a client who waits for it: pulls, builds, ``wait``, logs. A
        half-close is not leaving.
        """
        return self._connection.presence()

    def _begin(self) -> None:
        if self.answered:
            raise RuntimeError("an exchange is answered once")
        self.answered = True

    def _closing(self) -> list[tuple[str, str]]:
        """Settle whether the connection goes on, which the client is told with the head."""
        self.keeps = self.keeps and self._connection.may_go_on()
        return [] if self.keeps else [("Connection", "close")]

    async def _write(self, data: bytes) -> None:
        with _leaving():
            await self._connection.wire.write(data)


Handler = Callable[[Exchange], Awaitable[None]]
"""Answers one exchange, once.

May raise :class:`~wherry.proxy.front.problems.Refusal`; EngineError is answered 502
(EngineUnavailable 503), anything else 500 without details and a line in the log.
"""


def _hijacked_lines(upstream: Hijacked) -> list[tuple[str, str]]:
    lines = [
        (name.title(), upstream.headers[name])
        for name in ("content-type", "sec-websocket-accept", "sec-websocket-protocol")
        if name in upstream.headers
    ]
    if upstream.status == 101:
        lines += [("Connection", "Upgrade"), ("Upgrade", upstream.headers.get("upgrade", "tcp"))]
    return lines


@contextmanager
def _leaving() -> Iterator[None]:
    """Raise ClientLeft for what a connection to the client raises."""
    try:
        yield
    except TimeoutError as error:
        raise ClientLeft("the client did not take its answer in time") from error
    except OSError as error:
        raise ClientLeft(f"the client has left: {error}") from error
