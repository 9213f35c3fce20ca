"""Requests to the engine: each written anew, on a connection of its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import h11

from wherry.engines.docker.dial import Dialer
from wherry.engines.docker.failures import failing, unreachable
from wherry.errors import EngineError
from wherry.proxy.link import Head, Link
from wherry.proxy.wires import dial_unix

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
_CONNECT_SECONDS = 15.0
_HIJACK_SECONDS = 60.0
_PATH = re.compile(r"/[!\"$->@-~]*")
_RAW = ("application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream")


@dataclass(frozen=True, slots=True)
class _Failing:
    """Raises EngineError for what the transport raises, and says in what."""

    name: str
    address: Address

    def __call__(self) -> AbstractContextManager[None]:
        return failing(self.name, address=self.address)


class Answer:
    """The answer of the engine; its body is still to be read."""

    def __init__(self, head: Head, link: Link, *, failing: _Failing) -> None:
        self.status = head.status
        self.headers: Mapping[str, str] = head.headers
        """Names in lower case. Never to be passed on as a whole."""
        self._link = link
        self._failing = failing

    async def read(self, limit: int = ANSWER_LIMIT) -> bytes:
        """Return the whole body; raises EngineError when it is cut or larger."""
        data = bytearray()
        async for piece in self.stream():
            data += piece
            if len(data) > limit:
                raise EngineError(f"{self._failing.name}: the answer is larger than {limit} bytes")
        return bytes(data)

    async def json(self) -> Any:  # noqa: ANN401 - JSON of the engine's
        """Return the body as JSON, None without one; raises EngineError when it is none."""
        data = await self.read()
        try:
            return json.loads(data) if data.strip() else None
        except (ValueError, RecursionError) as error:
            raise EngineError(
                f"{self._failing.name}: the answer is no JSON: {data[:80]!r}"
            ) from error

    async def message(self) -> str:
        """Return the engine's words of an error answer (``message``)."""
        data = await self.read()
        try:
            return str(json.loads(data)["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return data.decode(errors="replace").strip()[:500]

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, at most 64 KiB at a time; raises EngineError when cut."""
        while data := await self._next():
            yield data

    async def _next(self) -> bytes:
        with self._failing():
            return await self._link.piece()


class Hijacked:
    """A connection that the engine has turned into a raw stream."""

    def __init__(self, head: Head, duplex: Duplex, *, carried: bytes) -> None:
        self.status = head.status
        """101, or 200 when no upgrade was asked for."""
        self.headers: Mapping[str, str] = head.headers
        self.duplex = duplex
        self.carried = carried
        """What came with the head."""


class Upstream:
    """The engine behind the proxy.

    ``path`` is without a version prefix (``/containers/ID/json``): the pinned version is put in
    front of it here. It is visible ASCII, already quoted where it must be; ``query`` is quoted
    here. ``body`` None is no body at all; bytes go with their length, anything else in chunks,
    while the answer is awaited already.
    """

    def __init__(self, address: Address, *, version: str = "1.41") -> None:
        """Pin the version of the API that every request is written in."""
        self.address = address
        self.version = version
        self._dialer = Dialer(address)

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        timeout: float | None = 60.0,
    ) -> AsyncIterator[Answer]:
        """Send a request and hold its answer, whatever its status; leaving drops the connection.

        ``timeout``: seconds until the head of the answer is here, after the body was sent; None
        for what may take as long as it likes. Raises EngineUnavailable when the engine cannot be
        reached, EngineError when the exchange is cut, and what the source of the body raises.
        """
        request = self._request(method, path, query=query, headers=headers, body=body)
        trouble = _Failing(f"{method} {path}", self.address)
        async with self._connected() as link:
            with trouble():
                if body is None or isinstance(body, bytes):
                    await link.send(request, body or b"")
                else:
                    await link.begin(request, body)
                head = await link.head(timeout)
            yield Answer(head, link, failing=trouble)

    @asynccontextmanager
    async def hijack(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        upgrade: str = "tcp",
    ) -> AsyncIterator[Hijacked | Answer]:
        """Ask for a raw stream: ``upgrade`` is ``tcp``, ``websocket``, or empty to ask without.

        Yields Hijacked when the engine did it (101, or 200 with a raw stream), else its Answer.
        Raises as :meth:`exchange` does.
        """
        if upgrade not in ("", "tcp", "websocket"):
            raise ValueError(f"upgrade {upgrade!r} must be 'tcp', 'websocket' or empty")
        asked = (("Connection", "Upgrade"), ("Upgrade", upgrade)) if upgrade else ()
        request = self._request(
            method, path, query=query, headers=headers, body=body, upgrade=asked
        )
        trouble = _Failing(f"{method} {path}", self.address)
        async with self._connected() as link:
            with trouble():
                await link.send(request, body or b"")
                head = await link.head(_HIJACK_SECONDS)
            if _is_raw(head, upgrade=upgrade):
                yield Hijacked(head, link.duplex, carried=link.carried())
            else:
                yield Answer(head, link, failing=trouble)

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None,
        headers: Mapping[str, str] | None,
        body: bytes | AsyncIterable[bytes] | None,
        upgrade: Sequence[tuple[str, str]] = (),
    ) -> h11.Request:
        if not _PATH.fullmatch(path):
            raise ValueError(f"path {path!r} must be visible ASCII without '?' and '#'")
        lines = [("Host", "docker"), *upgrade]
        for name, value in (headers or {}).items():
            if name.lower() not in HEADERS:
                raise ValueError(f"header {name!r} is not given to the engine")
            lines.append((name, value))
        if isinstance(body, bytes) or (body is None and method in ("POST", "PUT")):
            lines.append(("Content-Length", str(len(body or b""))))
        elif body is not None:
            lines.append(("Transfer-Encoding", "chunked"))
        target = f"/v{self.version}{path}{_query(query or {})}"
        return h11.Request(method=method, target=target, headers=lines)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Link]:
        with unreachable(self.address):
            link = Link(await self._dial())
        try:
            yield link
        finally:
            await link.aclose()

    async def _dial(self) -> Duplex:
        if self.address.scheme != "unix":
            return await self._dialer.dial()
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await dial_unix(self.address.path)


def _query(query: Query) -> str:
    asked = [(name, _plain(value)) for name, value in query.items() if value is not None]
    return "?" + urlencode(asked, doseq=True) if asked else ""


def _plain(value: str | int | bool | Sequence[str]) -> str | Sequence[str]:
    match value:
        case bool():
            return str(int(value))
        case int():
            return str(value)
    return value


def _is_raw(head: Head, *, upgrade: str) -> bool:
    """Whether a raw stream follows the head: what else the engine says has a length or an end."""
    if head.status == 101:
        return head.headers.get("upgrade", "").lower() == upgrade != ""
    framed = "content-length" in head.headers or "transfer-encoding" in head.headers
    return head.status == 200 and not framed and head.headers.get("content-type", "") in _RAW
