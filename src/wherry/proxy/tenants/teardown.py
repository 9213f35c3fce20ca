"""Taking down everything of a tenant, in the order in which it lets itself be taken down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from wherry.engines.docker.failures import Refused
from wherry.proxy.audit import Entry
from wherry.proxy.policy.names import plain_image
from wherry.proxy.tenants.leavings import Leavings

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient
    from wherry.proxy.audit import Audit
    from wherry.proxy.tenants.model import Owned
    from wherry.proxy.tenants.registry import Registry

_LOG = logging.getLogger(__name__)
_AT_ONCE = 8
_REMOVAL_SECONDS = 60.0
_GONE = (404, 409)


class Teardown:
    """Removes what tenants own; what somebody else already removes is as good."""

    def __init__(self, registry: Registry, client: DockerClient, *, audit: Audit) -> None:
        self._registry = registry
        self._client = client
        self._audit = audit
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._leavings = Leavings(registry, client)

    async def objects(self, tenant: str) -> bool:
        """Remove everything a tenant owns; whether all of it is gone.

        Raises :class:`EngineError` when the engine cannot be reached: what is left then stays
        on record.
        """
        kinds: tuple[tuple[str, Callable[[Owned], Awaitable[bool]]], ...] = (
            ("container", self._container),
            ("exec", self._forgotten),
            ("anonymous", self._volume),
            ("network", self._network),
            ("volume", self._volume),
            ("image", self._image),
        )
        complete = True
        for kind, remove in kinds:
            owned = [one for one in self._registry.owned(tenant) if _is(one, kind)]
            done = await asyncio.gather(*(self._remove(one, remove) for one in owned))
            complete = complete and all(done)
        await self._leavings.remove(tenant=tenant)
        return complete

    async def remove(self, owned: Owned) -> bool:
        """Remove one container whose time has come; whether it is gone."""
        return await self._remove(owned, self._container)

    async def _remove(self, owned: Owned, remove: Callable[[Owned], Awaitable[bool]]) -> bool:
        async with self._room:
            try:
                gone = await remove(owned)
            except Refused as error:
                _LOG.warning(
                    "an object of a tenant cannot be removed",
                    extra={"tenant": owned.tenant, "object": owned.id, "reason": error.reason},
                )
                self._note(owned, reason=error.reason)
                return False
        if gone:
            self._registry.forget(owned.kind, owned.id, tenant=owned.tenant)
            self._note(owned)
        return gone

    async def _forgotten(self, owned: Owned) -> bool:
        del owned  # an exec ends with its container
        return True

    async def _container(self, owned: Owned) -> bool:
        path = f"/containers/{owned.id}"
        for _ in range(3):
            try:
                await self._client.call("DELETE", path, query={"force": True, "v": True})
            except Refused as error:
                if error.status == 404:
                    return True
                if error.status != 409:
                    raise
                await self._removed(path)
            else:
                return True
        return False

    async def _removed(self, path: str) -> None:
        """Wait while somebody else removes a container."""
        try:
            async with asyncio.timeout(_REMOVAL_SECONDS):
                await self._client.call("POST", f"{path}/wait", query={"condition": "removed"})
        except TimeoutError:
            return
        except Refused as error:
            if error.status != 404:
                raise

    async def _network(self, owned: Owned) -> bool:
        return await self._delete(f"/networks/{owned.id}")

    async def _volume(self, owned: Owned) -> bool:
        return await self._delete(f"/volumes/{quote(owned.id, safe='')}")

    async def _image(self, owned: Owned) -> bool:
        """Remove the names that this tenant made; layers that somebody else uses stay."""
        try:
            described = await self._client.call("GET", f"/images/{owned.id}/json")
        except Refused as error:
            if error.status != 404:
                raise
            return True
        tags = described.get("RepoTags") or []
        alone = len(self._registry.holders("image", owned.id)) == 1
        names = [tag for tag in tags if plain_image(owned.tenant, tag)]
        names += [tag for tag in tags if alone and tag in owned.name.split()]
        made = set(owned.reference.split()) <= set(owned.name.split())
        if not tags and alone and made:
            names.append(owned.id)
        for name in names:
            try:
                await self._client.call("DELETE", f"/images/{name}")
            except Refused as error:
                if error.status not in _GONE:
                    raise
        return True

    async def _delete(self, path: str) -> bool:
        try:
            await self._client.call("DELETE", path)
        except Refused as error:
            if error.status != 404:
                raise
        return True

    def _note(self, owned: Owned, *, reason: str = "") -> None:
        self._audit.write(
            Entry(
                tenant=owned.tenant,
                verb="remove",
                object=f"{owned.kind} {owned.id}",
                verdict="failed" if reason else "lifetime",
                reason=reason,
            )
        )


def _is(owned: Owned, kind: str) -> bool:
    if owned.kind == "volume":
        return kind == ("anonymous" if owned.container else "volume")
    return owned.kind == kind
