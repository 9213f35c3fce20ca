"""``wherry proxy`` from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.proxy.front.listening import listen_tls
from wherry.proxy.proxy import Proxy, running_proxy
from wherry.proxy.tls import server_context
from wherry.server.stopping import Stopping

if TYPE_CHECKING:
    from wherry.proxy.proxy import ProxyOptions

Greet = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where TLS is served, and by what."""

    host: str
    port: int
    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTenant:
    """One tenant and where it is served."""

    name: str
    policy: str
    """TOML."""
    ttl: float | None = None
    socket: Path | None = None
    mode: int = 0o660
    tls: TlsFiles | None = None
    remove: bool = False
    """Whether the tenant ends with the proxy."""


async def serve_tenant(options: ProxyOptions, served: ServedTenant, *, greet: Greet) -> None:
    """Serve until a signal or the tenant's end; raises :class:`wherry.errors.WherryError`."""
    stopping = Stopping()
    async with running_proxy(options) as proxy:
        await proxy.resume(served.name, policy=served.policy, ttl=served.ttl)
        for place in await _listen(proxy, served):
            greet(f"wherry proxy: {served.name} has {place}")
        await _until(proxy, served.name, stopping.asked)
        if served.remove and proxy.registry.has(served.name):
            await proxy.end(served.name)


async def _listen(proxy: Proxy, served: ServedTenant) -> list[str]:
    places = []
    if served.socket is not None:
        served.socket.parent.mkdir(parents=True, exist_ok=True)
        await proxy.listen(served.name, served.socket, mode=served.mode)
        places.append(f"unix://{served.socket}")
    if served.tls is not None:
        front = proxy.front(served.name)
        listener = listen_tls(
            served.tls.host,
            served.tls.port,
            context=server_context(ca=served.tls.ca, cert=served.tls.cert, key=served.tls.key),
            choose=lambda peer: front,
        )
        proxy.keep(served.name, listener)
        places.append(f"tcp://{served.tls.host}:{listener.port} with TLS")
    return places


async def _until(proxy: Proxy, name: str, asked: asyncio.Event) -> None:
    """Wait for a signal, or for the end of the tenant."""
    waiting = [asyncio.create_task(asked.wait()), asyncio.create_task(proxy.lifetime.ended(name))]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
