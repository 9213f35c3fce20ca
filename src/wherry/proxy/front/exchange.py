"""One request and its answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    request: Request
    peer: Peer
    answered: bool
    """Whether an answer has begun."""

    async def answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole answer; raises ClientLeft."""
        raise NotImplementedError

    async def json(
        self, status: int, value: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a value as JSON, as the engine does: compact, with a line end."""
        raise NotImplementedError

    async def refuse(self, status: int, message: str) -> None:
        """Send ``{"message": …}``."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def hijack(self, upstream: Hijacked) -> None:
        """Answer as the engine did (101, or 200 without a length), then join both connections.

        The head is sent on its own. Returns when both directions have ended; the end of one
        direction is a half-close of the other side. Bytes that came after the framed body of
        the request belong to the stream from here on. The client's connection ends with it.
        """
        raise NotImplementedError

    def while_present(self) -> AbstractAsyncContextManager[None]:
        """Cancel what is in the block when the client leaves; the block then raises ClientLeft.

        For what is only of use to a client who waits for it: pulls, builds, ``wait``, logs. A
        half-close is not leaving.
        """
        raise NotImplementedError


Handler = Callable[[Exchange], Awaitable[None]]
"""Answers one exchange, once.

May raise :class:`~wherry.proxy.front.problems.Refusal`; EngineError is answered 502
(EngineUnavailable 503), anything else 500 without details and a line in the log.
"""
