"""One tenant as handlers see it: what is theirs, found by full id and never by a label or name."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from wherry.engines.docker.failures import Refused
from wherry.errors import EngineUnavailable
from wherry.proxy.policy.model import Kind, Named, TenantView, missing
from wherry.proxy.tenants.labels import INSTANCE, owner_labels

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient
    from wherry.proxy.handlers.nesting import Nesting
    from wherry.proxy.policy.model import Policy
    from wherry.proxy.tenants.ledger import Ledger
    from wherry.proxy.tenants.model import Kind as Of
    from wherry.proxy.tenants.model import Owned, Tenant
    from wherry.proxy.tenants.registry import Registry
    from wherry.proxy.upstream import Upstream

_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_LABELLED = ("container", "network", "volume")
_SHORT = 4
"""Digits of the shortest beginning of an id that is looked up; the command shows twelve."""

_KINDS: dict[Kind, Of] = {
    Kind.CONTAINER: "container",
    Kind.NETWORK: "network",
    Kind.VOLUME: "volume",
    Kind.IMAGE: "image",
    Kind.EXEC: "exec",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine behind the proxy, by two ways."""

    client: DockerClient
    """For JSON, over connections that are kept."""
    upstream: Upstream
    """For streams, each on a connection of its own."""


@dataclass(slots=True, kw_only=True)
class Scope:
    """A tenant, and all that is needed to serve it."""

    name: str
    policy: Policy
    registry: Registry
    ledger: Ledger
    engine: Engine
    newest: int = 41
    """Minor number of the API version that requests are written in."""
    cgroup_parent: str = ""
    nesting: Nesting
    """How tenants below this one are made."""
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a network or volume is made: names of both may be asked for by several."""
    builds: int = 0
    """That are under way."""
    closed_paths: tuple[str, ...] = ()
    """Of the host, that nobody may mount."""
    turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """By container: what must not happen to it at the same time."""

    @property
    def tenant(self) -> Tenant:
        """The tenant as it is on record; raises :class:`EngineUnavailable` when it has ended."""
        if not self.registry.has(self.name):
            raise EngineUnavailable("this tenant has ended")
        return self.registry.tenant(self.name)

    def turn(self, container: str) -> asyncio.Lock:
        """Return what a start of a container and files copied into it take turns by."""
        return self.turns.setdefault(container, asyncio.Lock())

    def view(self) -> TenantView:
        """Return the tenant as the policy sees it, as of now."""
        registry, name = self.registry, self.name
        return TenantView(
            name=name,
            policy=self.policy,
            network=self.tenant.network,
            cgroup_parent=self.cgroup_parent,
            closed_paths=self.closed_paths,
            containers=registry.ids(name, "container"),
            networks=registry.ids(name, "network"),
            volumes=registry.ids(name, "volume"),
            images=registry.ids(name, "image"),
        )

    def labels(self, nonce: str) -> dict[str, str]:
        """Return the labels by which an object is found again after a crash."""
        return owner_labels(instance=self.registry.instance, tenant=self.name, nonce=nonce)

    def own(self, named: Named) -> Owned:
        """Return what a name stands for; raises :class:`Denied` (404) for what is not theirs.

        Names and ids are looked up among the tenant's own objects only: an exact name, a full
        id, or the beginning of exactly one id.
        """
        kind, text = _KINDS[named.kind], named.text.removeprefix("/")
        mine = self.registry.owned(self.name, kind)
        for owned in mine:
            if text in (owned.id, owned.name) and text:
                return owned
        if kind in ("container", "network") and _HEX.fullmatch(text) and len(text) >= _SHORT:
            begins = [owned for owned in mine if owned.id.startswith(text)]
            if len(begins) == 1:
                return begins[0]
        raise missing(named)

    def container(self, text: str) -> Owned:
        """Return a container of theirs; raises :class:`Denied` (404)."""
        return self.own(Named(Kind.CONTAINER, text))

    async def call(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, data: object = None
    ) -> Any:  # noqa: ANN401 - JSON of the engine's
        """Exchange JSON with the engine; raises :class:`Refused` with its status and words."""
        return await self.engine.client.call(method, path, query=query, data=data)

    async def inspect(self, named: Named) -> tuple[Owned, dict[str, Any]]:
        """Return an object of theirs as the engine describes it now.

        Raises :class:`Denied` (404) also for what is gone, or is another object of that name.
        """
        owned = self.own(named)
        path = {
            "container": f"/containers/{owned.id}/json",
            "network": f"/networks/{owned.id}",
            "volume": f"/volumes/{quote(owned.id, safe='')}",
            "exec": f"/exec/{owned.id}/json",
            "image": f"/images/{owned.id}/json",
        }[owned.kind]
        try:
            described = await self.call("GET", path)
        except Refused as error:
            if error.status != 404:
                raise
            self.registry.forget(owned.kind, owned.id, tenant=self.name)
            raise missing(named) from error
        if owned.kind in _LABELLED and not owned.container and not self.is_ours(described):
            raise missing(named)
        return owned, described

    def is_ours_or_anonymous(self, described: dict[str, Any]) -> bool:
        """Whether a volume is the one on record; what came with a container has few labels."""
        owned = self.registry.get("volume", described["Name"], tenant=self.name)
        return owned is not None and (bool(owned.container) or self.is_ours(described))

    def is_ours(self, described: dict[str, Any]) -> bool:
        """Whether an object has our labels: a volume has no id, so its name may be another's."""
        labels = described.get("Labels") or (described.get("Config") or {}).get("Labels") or {}
        return bool(labels.get(INSTANCE) == self.registry.instance)
