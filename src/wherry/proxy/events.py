"""The engine's events, object by object: a tenant sees what happens to its own (F12)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry.proxy.decoder import json_objects
from wherry.proxy.policy import names
from wherry.proxy.policy.events import event
from wherry.proxy.tenants.labels import INSTANCE, NONCE

if TYPE_CHECKING:
    from wherry.proxy.policy.model import TenantView
    from wherry.proxy.tenants.model import Kind
    from wherry.proxy.tenants.registry import Registry

_KINDS: dict[str, Kind] = {
    "container": "container",
    "network": "network",
    "volume": "volume",
    "image": "image",
}


class Actors:
    """Tells whether something happened to an object of one tenant's."""

    def __init__(self, registry: Registry, tenant: str) -> None:
        self._registry = registry
        self._tenant = tenant

    def is_theirs(self, event: dict[str, Any]) -> bool:
        """Decide by the actor's full id; unknown types and prunes are nobody's."""
        kind = _KINDS.get(event.get("Type", ""))
        actor = event.get("Actor") or {}
        attributes = actor.get("Attributes") or {}
        if kind is None or event.get("Action") == "prune":
            return False
        id_ = str(actor.get("ID", ""))
        if kind == "image" and not id_.startswith("sha256:"):
            return False
        if self._registry.had(kind, id_, tenant=self._tenant):
            other = attributes.get("container")
            return other is None or self._registry.had("container", other, tenant=self._tenant)
        return self._is_being_made(kind, id_, attributes)

    def _is_being_made(self, kind: Kind, id_: str, attributes: dict[str, str]) -> bool:
        """Whether the engine tells of something before it has answered who asked for it."""
        mine = [one for one in self._registry.pending() if one.tenant == self._tenant]
        if kind == "container":
            ours = attributes.get(INSTANCE) == self._registry.instance
            return ours and any(one.nonce == attributes.get(NONCE) for one in mine)
        name = attributes.get("name", id_) if kind == "network" else id_
        scoped = {names.scoped(self._tenant, one.name) for one in mine if one.kind == kind}
        return name in scoped


async def filtered(
    chunks: AsyncIterable[bytes], actors: Actors, *, view: Callable[[], TenantView]
) -> AsyncIterator[bytes]:
    """Yield the events that are theirs, as the policy shows them."""
    async for item in json_objects(chunks):
        if not actors.is_theirs(item):
            continue
        # What has gone, or is on its way to the record, is not in the view any more, or yet.
        actor = item["Actor"]
        theirs = {str(actor["ID"]), (actor.get("Attributes") or {}).get("container", "")}
        seen = replace(view(), containers=theirs, networks=theirs, volumes=theirs, images=theirs)
        if (shown := event(item, seen)) is not None:
            yield json.dumps(shown).encode() + b"\n"
