"""A small client of the Docker Engine API: versions, pooled connections, hijacked streams.

Source: the Engine API reference, https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wherry.engines.docker.connection import Connection, Head, Request
from wherry.engines.docker.dial import Dialer
from wherry.engines.docker.failures import TRANSPORT_ERRORS, Refused, failing, unreachable
from wherry.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address
    from wherry.engines.docker.duplex import Duplex

OLDEST = (1, 41)
NEWEST = (1, 52)
_IDLE_CONNECTIONS = 8
_IDLE_SECONDS = 30.0
_ANSWER_BYTES = 64 * 1024 * 1024
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
Query = Mapping[str, str | int | bool | None]


class Response:
    """A response whose body is still to be read."""

    def __init__(self, head: Head, connection: Connection, *, timeout: float) -> None:
        self.head = head
        self.connection = connection
        self._timeout = timeout

    async def read(self) -> bytes:
        """Return the whole body, within the time limit of the request."""
        async with asyncio.timeout(self._timeout):
            return await self.connection.read(_ANSWER_BYTES)

    def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, however long that takes."""
        return self.connection.body()


class DockerClient:
    """Requests to one engine, over as few connections as possible.

    Every method raises EngineUnavailable when the engine cannot be reached, EngineError when
    the exchange is cut or takes longer than ``timeout`` seconds, and Refused when the engine
    answers with an error.
    """

    def __init__(self, address: Address, *, timeout: float = 60.0) -> None:
        self.address = address
        self.timeout = timeout
        self._dialer = Dialer(address)
        self._idle: deque[Connection] = deque()
        self._keeps = True
        self._closing: set[asyncio.Task[None]] = set()
        self._version: asyncio.Task[str] | None = None

    # ---- exchanges -----------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        data: object = None,
        connection: Connection | None = None,
    ) -> Any:  # noqa: ANN401 - JSON; whoever asked parses it into a type
        """Exchange JSON; None for an answer without a body."""
        body = b"" if data is None else json.dumps(data).encode()
        request = await self.request(method, path, query=query, body=body, is_json=data is not None)
        async with self.open(request, connection=connection) as response:
            with failing(self._name(request), address=self.address):
                answer = await response.read()
        return json.loads(answer) if answer.strip() else None

    @asynccontextmanager
    async def open(
        self, request: Request, *, connection: Connection | None = None
    ) -> AsyncIterator[Response]:
        """Send a request and hold its response; leaving early drops the connection."""
        response = await self.send(request, connection=connection)
        try:
            yield response
        finally:
            self.release(response.connection)

    async def send(self, request: Request, *, connection: Connection | None = None) -> Response:
        """Send a request; whoever holds the response releases its connection.

        With ``connection``, that one and no other is used: an answer on it is an answer of the
        same engine process as before.
        """
        while True:
            used = connection or await self._acquire()
            try:
                return await self._exchange(request, used)
            except Refused:
                raise
            except EngineError as error:
                self._drop(used)
                if connection or not _may_repeat(request, used, error):
                    raise
            except BaseException:
                self._drop(used)
                raise

    async def _exchange(self, request: Request, connection: Connection) -> Response:
        with failing(self._name(request), address=self.address):
            async with asyncio.timeout(self.timeout):
                head = await connection.exchange(request)
        response = Response(head, connection, timeout=self.timeout)
        if head.status >= 400:
            await self._refuse(request, response)
        return response

    async def _refuse(self, request: Request, response: Response) -> None:
        with failing(self._name(request), address=self.address):
            body = await response.read()
        self.release(response.connection)
        reason = _reason(body) or f"status {response.head.status}"
        message = f"engine {self.address}: {self._name(request)} was refused: {reason}"
        raise Refused(message, status=response.head.status, reason=reason)

    async def hijack(self, request: Request) -> tuple[Duplex, bytes]:
        """Turn a connection into a raw stream; also returns its first bytes.

        Engines answer 101 when they were asked with ``Upgrade``, or 200 and then raw bytes.
        """
        response = await self.send(request)
        return response.connection.detach()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | AsyncIterable[bytes] = b"",
        is_json: bool = False,
        headers: Mapping[str, str] | None = None,
        upgrade: bool = False,
    ) -> Request:
        """Build a request in the version that was negotiated."""
        target = f"/v{await self.version()}{path}"
        asked = {name: _plain(value) for name, value in (query or {}).items() if value is not None}
        if asked:
            target += "?" + urlencode(asked)
        lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        if is_json:
            lines.append((b"Content-Type", b"application/json"))
        return Request(
            method=method, target=target, headers=tuple(lines), body=body, upgrade=upgrade
        )

    def _name(self, request: Request) -> str:
        return f"{request.method} {request.target.partition('?')[0]}"

    # ---- the version ---------------------------------------------------------------------

    async def version(self) -> str:
        """Return the API version to speak: the newest both sides know."""
        if self._version is None or _failed(self._version):
            self._version = asyncio.create_task(self._negotiate())
        return await asyncio.shield(self._version)

    async def _negotiate(self) -> str:
        try:
            async with self.open(Request(method="GET", target="/_ping")) as response:
                with failing("GET /_ping", address=self.address):
                    await response.read()
        except EngineUnavailable:
            raise
        except EngineError as error:
            raise EngineUnavailable(str(error)) from error
        theirs = _parse_version(response.head.headers.get("api-version", ""))
        if theirs < OLDEST:
            raise EngineUnavailable(
                f"engine {self.address} speaks version {_dotted(theirs)} of the Engine API "
                f"(0.0: none at all); {_dotted(OLDEST)} (Docker 20.10) or newer is needed"
            )
        return _dotted(min(theirs, NEWEST))

    # ---- connections ---------------------------------------------------------------------

    async def _acquire(self) -> Connection:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_stale() and now - connection.idle_since < _IDLE_SECONDS:
                return connection
            self._drop(connection)
        with unreachable(self.address):
            return Connection(await self._dialer.dial())

    async def warm(self, number: int) -> None:
        """Have as many connections idle, as far as they can be had: who needs one says why not."""
        missing = min(number, _IDLE_CONNECTIONS) - len(self._idle)
        await asyncio.gather(*(self._warm() for _ in range(missing)))

    async def _warm(self) -> None:
        try:
            connection = Connection(await self._dialer.dial())
        except TRANSPORT_ERRORS:
            return
        connection.idle_since = asyncio.get_running_loop().time()
        if self._keeps:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next request when its exchange is complete, else drop it."""
        has_room = self._keeps and len(self._idle) < _IDLE_CONNECTIONS
        if connection.renew() and has_room:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        task = asyncio.create_task(connection.wait_closed())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Drop every idle connection, and keep none from now on. Idempotent."""
        self._keeps = False
        while self._idle:
            self._drop(self._idle.pop())
        await asyncio.gather(*self._closing)


def _may_repeat(request: Request, used: Connection, error: EngineError) -> bool:
    """Whether an engine may just have closed an idle connection under our hands."""
    was_cut = not isinstance(error.__cause__, TimeoutError)
    return was_cut and used.idle_since > 0 and request.method in _REPEATABLE


def _plain(value: str | int | bool | None) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:500]


def _failed(task: asyncio.Task[str]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _parse_version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
