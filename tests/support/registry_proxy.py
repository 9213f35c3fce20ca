"""A registry's front door that counts, and that stops in the middle of a blob when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

_PASSED_ON = ("Content-Type", "Content-Length", "Content-Range", "Docker-Content-Digest",
              "WWW-Authenticate")  # fmt: skip
_CHUNK = 64 * 1024


@dataclass
class Seen:
    """One request, and how much of its answer was sent."""

    method: str
    path: str
    range: str | None
    sent: int = 0


@dataclass
class RegistryProxy:
    """What passed, and what is to be done to it."""

    host: str = ""
    seen: list[Seen] = field(default_factory=list)
    stall_after: int | None = None
    """Bytes of one blob after which nothing more is sent, until ``released``."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    before: Callable[[str], Awaitable[None]] | None = None
    """Awaited with the path before a request goes on."""

    def blob(self, digest: str) -> list[Seen]:
        """Return the requests for a blob."""
        return [seen for seen in self.seen if seen.path.endswith(f"/blobs/{digest}")]

    def manifests(self) -> int:
        """Return how many manifests were asked for."""
        return sum("/manifests/" in seen.path for seen in self.seen)

    async def allow(self, sent: int, path: str) -> None:
        """Wait where the blob is to stop."""
        if self.stall_after is not None and "/blobs/" in path and sent >= self.stall_after:
            self.stalled.set()
            await self.released.wait()


@asynccontextmanager
async def registry_proxy(upstream: str) -> AsyncIterator[RegistryProxy]:
    """Serve a registry under another address, on the loopback interface."""
    proxy = RegistryProxy()
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            seen = Seen(request.method, request.path, request.headers.get("Range"))
            proxy.seen.append(seen)
            if proxy.before:
                await proxy.before(request.path)
            names = ("Accept", "Range", "Authorization")
            headers = {name: request.headers[name] for name in names if name in request.headers}
            url = f"http://{upstream}{request.path_qs}"
            async with session.request(request.method, url, headers=headers) as answer:
                kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    await proxy.allow(seen.sent, request.path)
                    await response.write(chunk)
                    seen.sent += len(chunk)
                return response

        async with serving(handle) as host:
            proxy.host = host
            yield proxy
            proxy.released.set()


@asynccontextmanager
async def serving(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: object
) -> AsyncIterator[str]:
    """Serve a handler on a free port of the loopback interface; yields ``host:port``."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
        await site.start()
        address = runner.addresses[0]
        yield f"{address[0]}:{address[1]}"
    finally:
        await runner.cleanup()
