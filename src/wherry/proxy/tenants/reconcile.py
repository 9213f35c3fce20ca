"""Bringing the record and the engine together again: after a crash of either, and now and then.

What the registry has and the engine has not is forgotten, so no quota leaks. What was about to be
made when the proxy died is found by the nonce in its label, and belongs to its tenant from then
on. Nothing is ever touched because of a label alone: labels can be forged, nonces of ours that
are on record cannot.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused
from wherry.proxy.tenants.labels import INSTANCE, NONCE
from wherry.proxy.tenants.model import Owned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.engines.docker.client import DockerClient, Query
    from wherry.proxy.tenants.model import Kind, Pending
    from wherry.proxy.tenants.registry import Registry

_LATE = 120.0
"""Seconds after which the engine has made what it was asked for, or never will."""
_LOG = logging.getLogger(__name__)


class Reconcile:
    """Compares one registry with one engine."""

    def __init__(self, registry: Registry, client: DockerClient) -> None:
        self._registry = registry
        self._client = client

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
            is_old = pending.nonce in self._registry.abandoned and pending.created < began - _LATE
            if adopt or is_old:
                self._settle(pending, found)
        for owned in known:
            if owned.kind in found and owned.id not in found[owned.kind]:
                self._registry.forget(owned.kind, owned.id, tenant=owned.tenant)
        await self._execs(known)

    async def _containers(self) -> dict[str, dict[str, str]]:
        query: Query = {"all": True}
        return _labelled(await self._client.call("GET", "/containers/json", query=query), key="Id")

    def _settle(self, pending: Pending, found: dict[Kind, dict[str, dict[str, str]]]) -> None:
        for id_, labels in found.get(pending.kind, {}).items():
            ours = labels.get(INSTANCE) == self._registry.instance
            if ours and labels.get(NONCE) == pending.nonce:
                owned = Owned(
                    kind=pending.kind, id=id_, tenant=pending.tenant, name=pending.name,
                    created=pending.created, amounts=pending.amounts, reference=pending.reference,
                )  # fmt: skip
                self._registry.record(owned, nonce=pending.nonce)
                _LOG.info("what was being made is its tenant's", extra={"object": id_})
                return
        self._registry.give_up(pending.nonce)

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
            if not answer.get("Running") and answer.get("ExitCode") is not None:
                self._registry.ended(owned)


def _labelled(items: Iterable[dict[str, Any]], *, key: str) -> dict[str, dict[str, str]]:
    return {item[key]: item.get("Labels") or {} for item in items}
