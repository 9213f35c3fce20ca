"""Volumes of a tenant's own: they have names only, so labels are compared as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wherry.engines.docker.failures import Refused
from wherry.proxy.handlers import filtering
from wherry.proxy.handlers.call import unbroken
from wherry.proxy.policy import answers, filters, names, volumes
from wherry.proxy.policy.model import Denied, Kind, Named
from wherry.proxy.tenants.labels import NONCE

if TYPE_CHECKING:
    from wherry.proxy.handlers.call import Call
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.policy.volumes import VolumeCreate
    from wherry.proxy.tenants.model import Owned

_ONLY_ANONYMOUS = 42
"""Minor number of the API from which a prune leaves named volumes alone."""


async def ensure(scope: Scope, request: VolumeCreate) -> Owned:
    """Return a volume of theirs by its name, made when there is none.

    Raises :class:`Denied` (409) when somebody else has the engine's name for it: the engine
    would hand that one out (2.2).
    """
    async with scope.making:
        return await _ensured(scope, request)


async def _ensured(scope: Scope, request: VolumeCreate) -> Owned:
    if request.name and (owned := scope.registry.named(scope.name, "volume", name=request.name)):
        described = await _described(scope, owned)
        if described is not None and scope.is_ours(described):
            return owned
        scope.registry.forget("volume", owned.id, tenant=scope.name)
    with scope.ledger.reserve(scope.name, "volume", name=request.name) as reservation:
        body = request.render(scope.view(), owner=scope.labels(reservation.nonce))

        async def make() -> Owned:
            made = await scope.call("POST", "/volumes/create", data=body)
            if (made.get("Labels") or {}).get(NONCE) != reservation.nonce:
                raise Denied(409, f"volume {request.name}: the name is taken", rule="2.7 Volume")
            name = names.plain(scope.name, made["Name"])
            return reservation.commit(made["Name"], name=name)

        return await unbroken(make())


def record_anonymous(scope: Scope, mount: dict[str, Any], *, container: str) -> None:
    """Record a volume that came with a container; raises :class:`Denied` beyond the quota."""
    if mount.get("Type") != "volume":
        return
    name = str(mount.get("Name", ""))
    if scope.registry.get("volume", name, tenant=scope.name):
        return
    with scope.ledger.reserve(scope.name, "volume", name=name) as reservation:
        reservation.commit(name, container=container)


async def create(call: Call) -> None:
    """Make a volume, or return the tenant's one of that name."""
    scope = call.scope
    request = volumes.parse_create(await call.exchange.request.body.read(), scope.policy)
    owned = call.about(await ensure(scope, request))
    described = await scope.call("GET", f"/volumes/{quote(owned.id, safe='')}")
    await call.exchange.json(201, answers.volume(described, scope.view()))


async def show_all(call: Call) -> None:
    """List the tenant's volumes, and no others."""
    scope = call.scope
    wanted, rendered = await filtering.filters_of(call, "volume")
    found = await scope.call("GET", "/volumes", query=rendered)
    view = scope.view()
    own = [each for each in found.get("Volumes") or [] if each["Name"] in view.volumes]
    shown = [answers.volume(each, view) for each in own if scope.is_ours_or_anonymous(each)]
    kept = [each for each in shown if wanted.keeps([each["Name"]])]
    await call.exchange.json(200, {"Volumes": kept, "Warnings": None})


async def show(call: Call) -> None:
    """Describe one."""
    scope = call.scope
    owned, described = await scope.inspect(Named(Kind.VOLUME, call.route.name))
    call.about(owned)
    await call.exchange.json(200, answers.volume(described, scope.view()))


async def remove(call: Call) -> None:
    """Remove one, and give its quota back."""
    scope = call.scope
    owned, _ = await scope.inspect(Named(Kind.VOLUME, call.route.name))
    call.about(owned)
    await _delete(scope, owned, query=call.query())
    await call.exchange.answer(204)


async def prune(call: Call) -> None:
    """Remove those of theirs that no container uses: the anonymous ones, or with ``all`` every."""
    scope = call.scope
    wanted = filters.parse_prune(call.route.query.one("filters"))
    everything = wanted.everything or call.route.version < _ONLY_ANONYMOUS
    now = time.time()
    gone: list[str] = []
    for owned in scope.registry.owned(scope.name, "volume"):
        described = await _described(scope, owned)
        if described is None or not (owned.container or everything):
            continue
        if not wanted.keeps(described.get("Labels") or {}, created=owned.created, now=now):
            continue
        try:
            await _delete(scope, owned, query={})
        except Refused:  # it is in use
            continue
        gone.append(owned.name)
    await call.exchange.json(200, {"VolumesDeleted": gone, "SpaceReclaimed": 0})


async def _delete(scope: Scope, owned: Owned, *, query: dict[str, Any]) -> None:
    try:
        await scope.call("DELETE", f"/volumes/{quote(owned.id, safe='')}", query=query)
    except Refused as error:
        if error.status != 404:
            raise
    scope.registry.forget("volume", owned.id, tenant=scope.name)


async def _described(scope: Scope, owned: Owned) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = await scope.call("GET", f"/volumes/{quote(owned.id, safe='')}")
    except Refused as error:
        if error.status != 404:
            raise
        return None
    return found
