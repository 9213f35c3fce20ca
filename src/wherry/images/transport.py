"""HTTP for registries: redirects, TLS, proxies and time limits, and one place for its errors."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

from wherry._version import __version__
from wherry.config import settings
from wherry.errors import RegistryError
from wherry.images.addresses import check_plain_http, proxy_for, tls_context
from wherry.images.faults import own_words, retry_after, translated
from wherry.images.retries import Retries, Transient

if TYPE_CHECKING:
    import aiohttp

_REDIRECTS = 5
_REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})
_TRANSIENT_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})
_ERROR_BODY = 16 * 1024
_READ = 256 * 1024
"""Bytes that are buffered of one response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How a registry is spoken to."""

    insecure: frozenset[str] = frozenset()
    """Registries, ``host[:port]``, with which plain HTTP will do; loopback always may."""
    certificates: tuple[Path, ...] = ()
    """Directories with ``HOST[:PORT]/*.crt``, as Docker's ``certs.d``."""
    connect_timeout: float = 10.0
    """Seconds."""
    read_timeout: float = 60.0
    """Seconds without a single byte."""
    retries: Retries = field(default_factory=Retries)


def default_wire() -> Wire:
    """Return how registries are spoken to when nothing else is said: as Docker is set up."""
    return Wire(certificates=(settings().docker_config / "certs.d", Path("/etc/docker/certs.d")))


def with_insecure(wire: Wire, names: Iterable[str]) -> Wire:
    """Return a wire by which more registries may be spoken to in plain HTTP."""
    return replace(wire, insecure=wire.insecure | frozenset(names))


class Response:
    """An answer whose body is still to come; close it, or use it as a context manager."""

    def __init__(self, answer: aiohttp.ClientResponse, *, host: str) -> None:
        self._answer = answer
        self.host = host
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.challenges = answer.headers.getall("WWW-Authenticate", [])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A body that was not read to its end costs the connection, not the time to read it.
        self._answer.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises Transient when it is cut or stalls."""
        while True:
            with translated(self.host):
                data = await self._answer.content.readany()
            if not data:
                return
            yield data

    async def read(self, limit: int) -> bytes:
        """Return the body, cut off one byte past the limit so that the caller can tell."""
        body = bytearray()
        async for data in self.chunks():
            body += data
            if len(body) > limit:
                break
        return bytes(body[: limit + 1])

    async def error(self, what: str) -> RegistryError:
        """Return the error that says what a registry refused, and its own words for why."""
        try:
            words = own_words(await self.read(_ERROR_BODY))
        except Transient:
            words = ""
        status = f"{self.status} {self._answer.reason or ''}".strip()
        return RegistryError(f"{self.host} answered {status} for {what}{words and f': {words}'}")


class Transport:
    """The connections of one pull."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"wherry/{__version__}", "Accept-Encoding": "identity"},
            read_bufsize=_READ,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self.wire.connect_timeout,
                sock_read=self.wire.read_timeout,
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        authorization: str | None = None,
        form: Mapping[str, str] | None = None,
        origin: str = "",
    ) -> Response:
        """Send a GET, or a POST of a form, and return the answer once redirects are followed.

        ``authorization`` goes to the host of ``url`` only. ``origin`` is the URL that led to this
        one, when there is one. Raises Transient for what may pass
        (429 and 5xx too), RegistryError for what will not.
        """
        target = url
        for _ in range(_REDIRECTS + 1):
            check_plain_http(target, named=self.wire.insecure, origin=origin or url)
            secret = authorization if _origin(target) == _origin(url) else None
            response = await self._exchange(target, {**headers}, secret, form)
            location = response.headers.get("Location")
            if response.status not in _REDIRECT_CODES or not location:
                return await _passable(response, target)
            async with response:
                target = urljoin(target, location)
            if form is not None:
                raise RegistryError(f"{urlsplit(url).netloc} redirects where it must not: {url}")
        raise RegistryError(f"{urlsplit(url).netloc} redirected more than {_REDIRECTS} times")

    async def _exchange(
        self, url: str, headers: dict[str, str], secret: str | None, form: Mapping[str, str] | None
    ) -> Response:
        import aiohttp
        from yarl import URL

        assert self._session is not None, "used outside of its block"
        netloc = urlsplit(url).netloc
        if secret:
            headers["Authorization"] = secret
        proxy = proxy_for(url)
        options: dict[str, Any] = {}
        if proxy:
            options["proxy"] = proxy.url
            if url.startswith("https:"):
                options["proxy_headers"] = proxy.headers
            else:
                headers |= proxy.headers
        if url.startswith("https:"):
            options["ssl"] = await self._tls(netloc)
        with translated(netloc):
            answer = await self._session.request(
                "GET" if form is None else "POST",
                # A signed URL must arrive as it was given, with its own way of escaping.
                URL(url, encoded=True),
                headers=headers,
                data=None if form is None else aiohttp.FormData(dict(form)),
                allow_redirects=False,
                **options,
            )
        return Response(answer, host=netloc.rpartition("@")[2])

    async def _tls(self, netloc: str) -> ssl.SSLContext:
        if netloc not in self._contexts:
            context = await asyncio.to_thread(tls_context, netloc, self.wire.certificates)
            self._contexts[netloc] = context
        return self._contexts[netloc]


async def _passable(response: Response, url: str) -> Response:
    if response.status not in _TRANSIENT_CODES:
        return response
    async with response:
        error = await response.error(urlsplit(url).path)
    raise Transient(error, retry_after=retry_after(response.headers.get("Retry-After")))


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port
