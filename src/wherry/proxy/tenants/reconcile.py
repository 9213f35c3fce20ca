"""Bringing the record and the engine together again: after a crash of either, and now and then.

What the registry has and the engine has not is forgotten, so no quota leaks. What was about to be
made when the proxy died is found by the nonce in its label, and belongs to its tenant from then
on. Nothing is ever touched because of a label alone: labels can be forged, nonces of ours that
are on record cannot.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wherry.engines.docker.failures import Refused, failing
from wherry.proxy.decoder import json_objects
from wherry.proxy.tenants.labels import INSTANCE, NONCE
from wherry.proxy.tenants.leavings import Leavings
from wherry.proxy.tenants.model import Amounts, Owned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.engines.docker.client import DockerClient, Query
    from wherry.proxy.tenants.model import Kind, Pending
    from wherry.proxy.tenants.registry import Registry

_LATE = 120.0
"""Seconds after which the engine has made what it was asked for, or never will."""
_ANONYMOUS = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UNSTARTED = 600.0
"""Seconds after which a program that was prepared and not started takes nothing any more."""
_LOG = logging.getLogger(__name__)


class Reconcile:
    """Compares one registry with one engine."""

    def __init__(self, registry: Registry, client: DockerClient) -> None:
        self._registry = registry
        self._client = client
        self._leavings = Leavings(registry, client)

    async def all(self, *, adopt: bool) -> None:
        """Compare everything; raises :class:`EngineError` when the engine cannot be asked.

        ``adopt`` is whether nothing can be under way: at the start, before anybody is let in.
        """
        # Read first: what is made from here on is in the lists or is newer than this.
        began = time.time()
        known = [one for tenant in self._registry.tenants() for one in
                 self._registry.owned(tenant.name) if one.created < began]  # fmt: skip
        found: dict[Kind, dict[str, dict[str, str]]] = {
            "container": await self._containers(),
            "network": _labelled(await self._client.call("GET", "/networks"), key="Id"),
            "volume": _labelled(
                (await self._client.call("GET", "/volumes"))["Volumes"] or [], key="Name"
            ),
        }
        for pending in self._registry.pending():
            if adopt:
                self._registry.abandon(pending.nonce)
            if pending.nonce in self._registry.abandoned:
                # An engine goes on with what a proxy asked for that died a moment ago.
                await self._settle(pending, found, is_late=pending.created < began - _LATE)
        for owned in known:
            if owned.kind in found and owned.id not in found[owned.kind]:
                await self._forget_if_gone(owned)
        await self._execs(known)
        await self._leavings.remove()

    async def _containers(self) -> dict[str, dict[str, str]]:
        """Return all containers; read one by one, as others' labels may be large and many."""
        query: Query = {"all": True}
        request = await self._client.request("GET", "/containers/json", query=query)
        async with self._client.open(request) as response:
            with failing("GET /containers/json", address=self._client.address):
                items = [(item["Id"], _ours(item.get("Labels"))) async for item in
                         json_objects(response.stream(), in_list=True)]  # fmt: skip
        return dict(items)

    async def _forget_if_gone(self, owned: Owned) -> None:
        """Forget what the engine does not have: one that is too large for a list is there."""
        tail = "/json" if owned.kind == "container" else ""
        try:
            await self._client.call("GET", _path(owned.kind, owned.id) + tail)
        except Refused as error:
            if error.status != 404:
                raise
            self._registry.forget(owned.kind, owned.id, tenant=owned.tenant)

    async def _settle(
        self, pending: Pending, found: dict[Kind, dict[str, dict[str, str]]], *, is_late: bool
    ) -> None:
        for id_, labels in found.get(pending.kind, {}).items():
            ours = labels.get(INSTANCE) == self._registry.instance
            if ours and labels.get(NONCE) == pending.nonce:
                await self._claim(pending, id_)
                return
        if is_late or pending.kind not in found:
            self._registry.give_up(pending.nonce)

    async def _claim(self, pending: Pending, id_: str) -> None:
        """Give its tenant what was made for it, or remove it when that has ended."""
        if self._registry.has(pending.tenant):
            owned = Owned(
                kind=pending.kind, id=id_, tenant=pending.tenant, name=pending.name,
                created=pending.created, amounts=pending.amounts, reference=pending.reference,
            )  # fmt: skip
            self._registry.record(owned, nonce=pending.nonce)
            if pending.kind == "container":
                await self._anonymous(owned)
            _LOG.info("what was being made is its tenant's", extra={"object": id_})
            return
        query: Query = {"force": True, "v": True} if pending.kind == "container" else {}
        try:
            await self._client.call("DELETE", _path(pending.kind, id_), query=query)
        except Refused as error:
            if error.status == 409:  # somebody removes it already, or uses it: the next time
                return
            if error.status != 404:
                raise
        self._registry.give_up(pending.nonce)
        _LOG.info("what was being made for a tenant that has ended is gone", extra={"object": id_})

    async def _anonymous(self, container: Owned) -> None:
        """Record the volumes without a name that came with a container; they end with it."""
        try:
            described = await self._client.call("GET", f"/containers/{container.id}/json")
        except Refused as error:
            if error.status != 404:
                raise
            return
        for mount in described.get("Mounts") or []:
            name = str(mount.get("Name", ""))
            if _ANONYMOUS.fullmatch(name) and not self._registry.holders("volume", name):
                self._registry.record(
                    Owned(kind="volume", id=name, tenant=container.tenant, name=name,
                          created=container.created, amounts=Amounts(volumes=1),
                          container=container.id)
                )  # fmt: skip

    async def _execs(self, known: Iterable[Owned]) -> None:
        """Forget executions that the engine does not have any more."""
        for owned in known:
            if owned.kind != "exec" or not owned.amounts.execs:
                continue
            try:
                answer = await self._client.call("GET", f"/exec/{owned.id}/json")
            except Refused as error:
                if error.status != 404:
                    raise
                self._registry.forget("exec", owned.id, tenant=owned.tenant)
                continue
            was_left = owned.created < time.time() - _UNSTARTED
            if not answer.get("Running") and (answer.get("ExitCode") is not None or was_left):
                self._registry.ended(owned)


def _labelled(items: Iterable[dict[str, Any]], *, key: str) -> dict[str, dict[str, str]]:
    return {item[key]: _ours(item.get("Labels")) for item in items}


def _path(kind: Kind, id_: str) -> str:
    return f"/{kind}s/{quote(id_, safe='')}"


def _ours(labels: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (labels or {}).items() if key in (INSTANCE, NONCE)}
