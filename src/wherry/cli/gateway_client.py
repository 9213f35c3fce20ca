"""HTTP to a gateway: documents asked for and answered, bodies streamed in both directions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import h11

from wherry._version import __version__
from wherry.cli.gateway_address import Address, address_of, declare
from wherry.cli.gateway_errors import NotAllowed, error_of, unreachable
from wherry.cli.gateway_exchange import Exchange
from wherry.errors import EngineError, EngineUnavailable, UsageError
from wherry.models import CHUNK

if TYPE_CHECKING:
    import argparse
    import ssl

__all__ = ["Answer", "Gateway", "NotAllowed", "Query", "ask", "declare", "gateway_of", "segment"]

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""How long a question that is no call may take."""
_TEXT_BYTES = 64 * 1024 * 1024

_AGAIN_SECONDS = 0.05
_ABSENT = (ConnectionRefusedError, FileNotFoundError)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Query = Mapping[str, str | None]
"""Names to values; what is None or empty is left out."""


class Answer:
    """What a gateway answers: its head, and its body as it comes."""

    def __init__(self, exchange: Exchange, head: h11.Response) -> None:
        self.status = head.status_code
        self.headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        """Names in lower case."""
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body; raises :class:`EngineError` when it is cut."""
        return self._exchange.body()

    async def read(self, limit: int = _TEXT_BYTES) -> bytes:
        """Return the whole body; raises :class:`EngineError` when it is more than ``limit``."""
        data = bytearray()
        async for chunk in self:
            data += chunk
            if len(data) > limit:
                raise EngineError(f"the gateway's answer is larger than {limit} bytes")
        return bytes(data)

    async def check(self) -> None:
        """Raise what an error's status stands for, with the gateway's own text."""
        if self.status >= 400:
            raise error_of(self.status, (await self.read()).decode(errors="replace"))


class Gateway:
    """A gateway that commands speak to; each request has a connection of its own.

    ``patience`` is how long, in seconds, one is waited for that may just be starting.
    """

    def __init__(self, address: Address, *, patience: float = 0.0) -> None:
        self.address = address
        self._patience = patience

    async def ask(
        self, method: str, path: str, *, query: Query | None = None, document: object = None
    ) -> Any:  # noqa: ANN401 - JSON
        """Send a JSON document, or none, and return the answer's: JSON, else text.

        Raises :class:`NotFound`, :class:`AlreadyExists`, :class:`NotAllowed` or
        :class:`UsageError` for the statuses that stand for it, :class:`EngineError` for others.
        """
        body = b"" if document is None else json.dumps(document).encode()
        headers = {} if document is None else {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self.open(method, path, query=query, headers=headers, body=body) as answer,
            ):
                await answer.check()
                data = await answer.read()
        except TimeoutError:
            raise EngineUnavailable(
                f"the gateway at {self.address.text} did not answer within {ANSWER_SECONDS:g} s"
            ) from None
        if "json" in answer.headers.get("content-type", ""):
            return self._json(data)
        return data.decode(errors="replace")

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] = b"",
    ) -> AsyncIterator[Answer]:
        """Send a request and yield its answer, whatever its status; leaving ends both.

        A body that is no bytes is sent in chunks, while the answer comes. ``path`` is quoted
        already, see :func:`segment`.
        """
        given = {key: value for key, value in (query or {}).items() if value}
        target = f"{self.address.prefix}{path}" + (f"?{urlencode(given)}" if given else "")
        size = len(body) if isinstance(body, bytes) else None
        head = self._head(method, target, headers=headers or {}, size=size)
        reader, writer = await self._connect()
        exchange = Exchange(reader, writer, where=self.address.text)
        sending = asyncio.create_task(exchange.send(head, body))
        try:
            yield Answer(exchange, await exchange.head())
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort()

    def _head(
        self, method: str, target: str, *, headers: Mapping[str, str], size: int | None
    ) -> h11.Request:
        own = {"Host": self.address.host_header, "User-Agent": f"wherry/{__version__}"}
        if self.address.authorization:
            own["Authorization"] = self.address.authorization
        if size is None:
            own["Transfer-Encoding"] = "chunked"
        elif size or method in ("POST", "PUT"):
            own["Content-Length"] = str(size)
        own["Connection"] = "close"
        given = list({**own, **headers}.items())
        try:
            return h11.Request(method=method, target=target, headers=given)
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise UsageError(f"{method} {target} cannot be sent: {error}") from error

    async def _connect(self) -> Connection:
        context = _context(self.address) if self.address.tls else None
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._connected(context)
            except (OSError, TimeoutError) as error:
                if clock() >= until or not isinstance(error, _ABSENT):
                    raise unreachable(self.address, error) from error
            await asyncio.sleep(_AGAIN_SECONDS)  # nothing tells of a listener that is to come

    async def _connected(self, context: ssl.SSLContext | None) -> Connection:
        at = self.address
        if at.socket is not None:
            return await asyncio.open_unix_connection(at.socket, limit=2 * CHUNK)
        return await asyncio.open_connection(at.host, at.port, ssl=context, limit=2 * CHUNK)

    def _json(self, data: bytes) -> Any:  # noqa: ANN401
        try:
            return json.loads(data)
        except ValueError as error:
            raise EngineError(f"{self.address.text} does not answer in JSON: {error}") from error


def gateway_of(args: argparse.Namespace, *, patience: float = 0.0) -> Gateway:
    """Return the gateway of the options that :func:`declare` declared; see :class:`Gateway`."""
    return Gateway(address_of(args), patience=patience)


def ask(
    args: argparse.Namespace, request: str, *, query: Query | None = None, document: object = None
) -> Any:  # noqa: ANN401
    """Ask the gateway of the options, as in ``GET /healthz``; see :meth:`Gateway.ask`."""
    method, _, path = request.partition(" ")
    return asyncio.run(gateway_of(args).ask(method, path, query=query, document=document))


def segment(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def _context(address: Address) -> ssl.SSLContext:
    import ssl

    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except OSError as error:
        raise UsageError(f"--ca-file: {address.ca_file!r} cannot be used: {error}") from error
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
