"""The body of a request to another node, which is sent once or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from wherry.remote.model import Call


class Sending:
    """The body of a request, and whether any of it went out."""

    def __init__(self, call: Call) -> None:
        self._body = call.body
        self._stdin: AsyncIterable[bytes] | None = call.stdin
        self.started = asyncio.Event()
        self.given_up = False

    @property
    def begun(self) -> bool:
        """Whether the node has asked for the body: from then on nobody knows what it does."""
        return self.started.is_set()

    @property
    def has_body(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._body) or self._stdin is not None

    def framing(self) -> dict[str, str]:
        """Return the headers that say how long the body is."""
        return {"content-length": str(len(self._body))} if self._stdin is None else {}

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, once; nothing of it after it was given up."""
        if self.given_up:
            raise aiohttp.ClientError("given up")
        self.started.set()
        if self._stdin is None:
            yield self._body
            return
        async for piece in self._stdin:
            yield piece
