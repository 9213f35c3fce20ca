"""Requests to the engine: each written anew, on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address
    from wherry.engines.docker.duplex import Duplex

Query = Mapping[str, str | int | bool | Sequence[str] | None]
"""True is ``1``, False ``0``, None is left out, a sequence repeats its key."""

HEADERS = frozenset(
    {
        "accept",
        "content-type",
        "x-registry-auth",
        "x-registry-config",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "origin",
    }
)
"""The headers that may be given to the engine; every other name is a ValueError."""

ANSWER_LIMIT = 64 * 1024 * 1024


class Answer:
    """The answer of the engine; its body is still to be read."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case. Never to be passed on as a whole."""

    async def read(self, limit: int = ANSWER_LIMIT) -> bytes:
        """Return the whole body; raises EngineError when it is cut or larger."""
        raise NotImplementedError

    async def json(self) -> Any:  # noqa: ANN401 - JSON of the engine's
        """Return the body as JSON, None without one; raises EngineError when it is none."""
        raise NotImplementedError

    async def message(self) -> str:
        """Return the engine's words of an error answer (``message``)."""
        raise NotImplementedError

    def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, at most 64 KiB at a time; raises EngineError when cut."""
        raise NotImplementedError


class Hijacked:
    """A connection that the engine has turned into a raw stream."""

    status: int
    """101, or 200 when no upgrade was asked for."""
    headers: Mapping[str, str]
    duplex: Duplex
    carried: bytes
    """What came with the head."""


class Upstream:
    """The engine behind the proxy.

    ``path`` is without a version prefix (``/containers/ID/json``): the pinned version is put in
    front of it here. It is visible ASCII, already quoted where it must be; ``query`` is quoted
    here. ``body`` None is no body at all; bytes go with their length, anything else in chunks.
    """

    def __init__(self, address: Address, *, version: str = "1.41") -> None:
        """Pin the version of the API that every request is written in."""
        self.address = address
        self.version = version

    def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        timeout: float | None = 60.0,
    ) -> AbstractAsyncContextManager[Answer]:
        """Send a request and hold its answer, whatever its status; leaving drops the connection.

        ``timeout``: seconds until the head of the answer is here, after the body was sent; None
        for what may take as long as it likes. Raises EngineUnavailable when the engine cannot be
        reached and EngineError when the exchange is cut.
        """
        raise NotImplementedError

    def hijack(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        upgrade: str = "tcp",
    ) -> AbstractAsyncContextManager[Hijacked | Answer]:
        """Ask for a raw stream: ``upgrade`` is ``tcp``, ``websocket``, or empty to ask without.

        Yields Hijacked when the engine did it (101, or 200 with a raw stream), else its Answer.
        """
        raise NotImplementedError
