"""The scoped Docker API as a whole: tenants, their sockets, and the engine behind them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.docker.client import DockerClient
from wherry.errors import AlreadyExists, EngineError
from wherry.proxy.audit import Audit, Entry
from wherry.proxy.front.front import Front
from wherry.proxy.front.listening import Listener, listen_unix
from wherry.proxy.front.patience import Patience
from wherry.proxy.handlers.dispatch import Dispatch
from wherry.proxy.handlers.scope import Engine, Scope
from wherry.proxy.handlers.table import HANDLERS
from wherry.proxy.nests import Nests
from wherry.proxy.policy.toml import parse_policy
from wherry.proxy.tenants import cgroups
from wherry.proxy.tenants.cgroups import Ceiling, Cgroups
from wherry.proxy.tenants.ledger import Ledger
from wherry.proxy.tenants.lifetime import Lifetime
from wherry.proxy.tenants.model import Amounts, Tenant
from wherry.proxy.tenants.places import (
    SOCKET,
    check_tenant_name,
    remove_socket_directory,
    socket_directory,
)
from wherry.proxy.tenants.registry import Registry
from wherry.proxy.upstream import Upstream

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address
    from wherry.proxy.policy.model import Policy

_LOG = logging.getLogger(__name__)
_NANO = 10**9
_BESIDE_STREAMS = 512
"""Connections that a tenant may have besides its streams."""
_GRACE = 5.0
"""Seconds that requests have to end when the proxy stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """What a proxy is told."""

    address: Address
    directory: Path
    """Of its registry and its audit log; one process has it at a time."""
    sockets: Path
    """Where directories for sockets are made."""
    audit: Path | None = None
    """None: ``audit.jsonl`` in ``directory``."""
    cgroup_base: str = ""
    """Control group above those of tenants; empty: one of this proxy's own."""


class Proxy:
    """Tenants that are served by this process."""

    def __init__(
        self, options: ProxyOptions, *, registry: Registry, engine: Engine, audit: Audit
    ) -> None:
        self._options = options
        self._engine = engine
        self._groups: Cgroups | None = None
        self._policies: dict[str, tuple[str, Policy]] = {}
        self._scopes: dict[str, Scope] = {}
        self._fronts: dict[str, Front] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._audit = audit
        self.registry = registry
        self.ledger = Ledger(registry, allowed=self._allowed)
        self.lifetime = Lifetime(
            registry,
            engine.client,
            audit=audit,
            close=self._close,
            ended=self._ended,
            lives=lambda tenant: self.policy(tenant).limits.lifetime,
        )
        self.without_groups = ""
        """Why tenants have no control group of their own; empty when they do."""

    async def begin(self) -> None:
        """Settle what another time left, then serve the tenants that are on record.

        Raises :class:`EngineError` when the engine cannot be asked.
        """
        info = await self._engine.client.call("GET", "/info")
        self.registry.claim(str(info.get("ID") or self._options.address))
        base = self._options.cgroup_base or f"wherry-proxy/{self.registry.instance[:12]}"
        self._groups, self.without_groups = await cgroups.usable(self._engine.client, base=base)
        if self.without_groups:
            _LOG.info(
                "tenants have no control group; each container has limits of its own",
                extra={"reason": self.without_groups},
            )
        await self.lifetime.begin()
        for tenant in self.registry.tenants():
            if tenant.directory and not tenant.is_ending:
                await self.listen(tenant.name, Path(tenant.directory) / SOCKET)

    async def aclose(self) -> None:
        """Stop serving; tenants and what they own stay. Idempotent."""
        for name in tuple(self._fronts):
            await self._stop_listening(name, grace=_GRACE)
        await self.lifetime.aclose()
        if self._groups is not None:
            self._groups.close()

    # ---- tenants -------------------------------------------------------------------------

    async def add(
        self, name: str, *, policy: str = "", ttl: float | None = None, parent: str = "",
        directory: bool = False,
    ) -> Tenant:  # fmt: skip
        """Make a tenant; with ``directory`` it gets a socket in one of its own at once.

        ``policy`` is TOML, ``ttl`` seconds until all of it is taken down. Raises
        :class:`AlreadyExists`, and :class:`UsageError` for a name or policy that cannot be.
        """
        if self.registry.has(check_tenant_name(name)):
            raise AlreadyExists(f"there is a tenant {name!r} already")
        parse_policy(policy)
        now = time.time()
        tenant = Tenant(
            name=name, parent=parent, depth=self.registry.tenant(parent).depth + 1 if parent else 0,
            created=now, expires=None if ttl is None else now + ttl, policy=policy,
        )  # fmt: skip
        if directory:
            tenant = replace(tenant, directory=str(socket_directory(self._options.sockets)))
        self.registry.put(tenant)
        self._audit.write(Entry(tenant=name, verb="begin", verdict="lifetime"))
        self.lifetime.expire(tenant)
        if directory:
            await self.listen(name, Path(tenant.directory) / SOCKET)
        return tenant

    async def resume(self, name: str, *, policy: str, ttl: float | None = None) -> Tenant:
        """Return the tenant of that name with a policy from now on; made when there is none."""
        if not self.registry.has(name):
            return await self.add(name, policy=policy, ttl=ttl)
        parse_policy(policy)
        before = self.registry.tenant(name)
        if before.is_ending:
            await self.lifetime.end(name)
            return await self.add(name, policy=policy, ttl=ttl)
        tenant = replace(
            before, policy=policy, expires=None if ttl is None else before.created + ttl
        )
        self.registry.put(tenant)
        self._scopes.pop(name, None)
        self.lifetime.expire(tenant)
        return tenant

    def hold(self, name: str, container: str) -> None:
        """Bind a tenant to the container that holds its socket, by full id."""
        self.registry.put(replace(self.registry.tenant(name), container=container))

    async def end(self, name: str) -> None:
        """Take a tenant down with everything below it; raises :class:`EngineError`."""
        await self.lifetime.end(name)

    def policy(self, tenant: Tenant) -> Policy:
        """Return a tenant's policy, parsed once."""
        known = self._policies.get(tenant.name)
        if known is None or known[0] != tenant.policy:
            known = (tenant.policy, parse_policy(tenant.policy))
            self._policies[tenant.name] = known
        return known[1]

    # ---- sockets -------------------------------------------------------------------------

    async def listen(self, name: str, path: Path, *, mode: int = 0o666) -> None:
        """Serve a tenant on a unix socket too; raises UsageError or EngineError."""
        self.keep(name, listen_unix(path, self.front(name), mode=mode))

    def keep(self, name: str, listener: Listener) -> None:
        """Close a listener together with its tenant."""
        self._listeners.setdefault(name, []).append(listener)

    def front(self, name: str) -> Front:
        """Return what a tenant's clients connect to."""
        if (front := self._fronts.get(name)) is None:
            scope = self.scope(name)
            dispatch = Dispatch(scope, audit=self._audit, handlers=HANDLERS)
            streams = scope.policy.limits.streams
            patience = Patience(streams=streams, connections=streams + _BESIDE_STREAMS)
            front = Front(dispatch, patience=patience)
            self._fronts[name] = front
        return front

    def scope(self, name: str) -> Scope:
        """Return a tenant as handlers see it."""
        if (known := self._scopes.get(name)) is not None:
            return known
        tenant = self.registry.tenant(name)
        policy = self.policy(tenant)
        scope = Scope(
            name=name,
            policy=policy,
            registry=self.registry,
            ledger=self.ledger,
            engine=self._engine,
            newest=int(self._engine.upstream.version.partition(".")[2]),
            cgroup_parent=self._cgroup(tenant, policy),
            nesting=Nests(self),
            closed_paths=self._closed_paths(),
        )
        self._scopes[name] = scope
        return scope

    def _closed_paths(self) -> tuple[str, ...]:
        """Return what nobody may mount: state and sockets of ours, and the engine's own socket."""
        paths = [self._options.directory, self._options.sockets]
        if self._options.address.scheme == "unix":
            paths.append(Path(self._options.address.path))
        return tuple({str(each) for path in paths for each in (path, path.resolve())})

    async def _close(self, name: str) -> None:
        await self._stop_listening(name)
        self._scopes.pop(name, None)
        tenant = self.registry.tenant(name)
        if tenant.directory:
            remove_socket_directory(Path(tenant.directory))

    def _ended(self, tenant: Tenant) -> None:
        self._policies.pop(tenant.name, None)
        if self._groups is not None:
            above = self._group(tenant.parent) + "/" if self.registry.has(tenant.parent) else ""
            self._groups.remove(above + tenant.name)

    async def _stop_listening(self, name: str, *, grace: float = 0.0) -> None:
        for listener in self._listeners.pop(name, []):
            await listener.close()
        if (front := self._fronts.pop(name, None)) is not None:
            await front.stop(grace=grace)

    def _allowed(self, tenant: Tenant) -> Amounts:
        """Return the quota; sums that the kernel keeps need no reservation."""
        limits = self.policy(tenant).limits
        counted = self._groups is None
        return Amounts(
            containers=limits.containers,
            networks=limits.networks,
            volumes=limits.volumes,
            images=limits.images,
            execs=limits.execs,
            memory=limits.memory if counted else sys.maxsize,
            nano_cpus=int(limits.cpus * _NANO) if counted else sys.maxsize,
            pids=limits.pids if counted else sys.maxsize,
        )

    def _group(self, name: str) -> str:
        return "/".join(each.name for each in self.registry.lineage(name)[::-1])

    def _cgroup(self, tenant: Tenant, policy: Policy) -> str:
        if self._groups is None:
            return ""
        limits = policy.limits
        ceiling = Ceiling(
            memory=limits.memory, pids=limits.pids, nano_cpus=int(limits.cpus * _NANO)
        )
        try:
            return self._groups.make(self._group(tenant.name), ceiling)
        except OSError as error:
            raise EngineError(f"the control group of {tenant.name!r}: {error}") from error


@asynccontextmanager
async def running_proxy(options: ProxyOptions) -> AsyncIterator[Proxy]:
    """Run a proxy while the block does; what tenants own stays when it is left.

    Raises :class:`EngineError` when the engine cannot be asked, and :class:`UsageError` for what
    cannot be served.
    """
    async with AsyncExitStack() as stack:
        registry = Registry(options.directory)
        stack.callback(registry.close)
        client = DockerClient(options.address)
        stack.push_async_callback(client.aclose)
        audit = Audit(options.audit or options.directory / "audit.jsonl")
        stack.callback(audit.close)
        engine = Engine(
            client=client, upstream=Upstream(options.address, version=await client.version())
        )
        proxy = Proxy(options, registry=registry, engine=engine, audit=audit)
        stack.push_async_callback(proxy.aclose)
        await proxy.begin()
        yield proxy
