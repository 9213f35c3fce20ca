"""``wherry proxy`` from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.closing import finish
from wherry.errors import Conflict, WherryError
from wherry.proxy.front.listening import listen_tls
from wherry.proxy.proxy import Proxy, ProxyOptions, running_proxy
from wherry.proxy.tenants.places import Places
from wherry.proxy.tenants.snapshot import is_held, kept_in
from wherry.proxy.tls import server_context
from wherry.server.descriptors import allow_many
from wherry.server.stopping import Stopping

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address
    from wherry.proxy.tenants.model import Tenant

_log = logging.getLogger(__name__)
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
    allow_many()
    stopping = Stopping()
    await sweep(options.address, Places(options.directory.parent))
    async with running_proxy(options) as proxy:
        await proxy.resume(served.name, policy=served.policy, ttl=served.ttl)
        for place in await _listen(proxy, served):
            greet(f"wherry proxy: {served.name} has {place}")
        if proxy.without_groups:
            greet(
                "wherry proxy: single containers are bounded, and their sums counted; no control "
                f"group holds them together: {proxy.without_groups}"
            )
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


async def end_tenant(options: ProxyOptions, name: str) -> None:
    """Take a tenant down that nobody serves; raises :class:`wherry.errors.WherryError`."""
    async with running_proxy(options) as proxy:
        if proxy.registry.has(name):
            await proxy.end(name)
        if proxy.registry.has(name):
            left = [f"{each.kind} {each.id}" for each in proxy.registry.owned(name)]
            raise Conflict(
                f"tenant {name!r}: not everything could be removed: {', '.join(left)}; see what "
                "uses it, and end the tenant again"
            )


@asynccontextmanager
async def fleeting_tenant(
    address: Address, places: Places, *, policy: str, ttl: float | None = None
) -> AsyncIterator[tuple[Proxy, Tenant]]:
    """Serve a tenant in a directory of its own, and take all of it down with the block.

    What other commands left, that could not do so, is taken down first.
    """
    await sweep(address, places)
    directory = places.fleeting()
    options = ProxyOptions(address=address, directory=directory, sockets=directory / "s")
    try:
        async with running_proxy(options) as proxy:
            tenant = await proxy.add(directory.name, policy=policy, directory=True, ttl=ttl)
            try:
                yield proxy, tenant
            finally:
                if proxy.registry.has(tenant.name):
                    await finish(proxy.end(tenant.name))
    finally:
        if not _has_tenants(directory):
            shutil.rmtree(directory, ignore_errors=True)


async def sweep(address: Address, places: Places) -> None:
    """Take down what commands left that were killed; what still runs is not touched."""
    for directory in places.left():
        if not (directory / "registry.db").exists() or is_held(directory):
            continue
        try:
            kept = [each.tenant for each in kept_in(directory)]
            options = ProxyOptions(address=address, directory=directory, sockets=directory / "s")
            async with running_proxy(options) as proxy:
                for tenant in kept:
                    if proxy.registry.has(tenant.name):
                        await proxy.end(tenant.name)
                if proxy.registry.pending():  # the engine may yet make it: the next one looks again
                    continue
        except WherryError as error:
            _log.warning(
                "what another command left could not be taken down",
                extra={"directory": str(directory), "reason": str(error)},
            )
            continue
        shutil.rmtree(directory, ignore_errors=True)


def _has_tenants(directory: Path) -> bool:
    return (directory / "registry.db").exists() and bool(kept_in(directory))
