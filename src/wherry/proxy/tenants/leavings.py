"""What builds leave behind: images of steps that led to nothing, containers of broken-off steps.

The engine keeps them, and nobody owns them. They have a label that no tenant can set, and that the
image which comes of a build has not, so what is made from that image is never taken for one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import Refused
from wherry.proxy.policy.model import OWNER
from wherry.proxy.tenants.labels import BUILD

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Query
    from wherry.proxy.tenants.registry import Registry

_IN_USE = (404, 409)


class Leavings:
    """Finds and removes them, for tenants that build nothing at the time."""

    def __init__(self, registry: Registry, client: DockerClient) -> None:
        self._registry = registry
        self._client = client

    async def remove(self, *, tenant: str | None = None) -> None:
        """Remove those of one tenant, or of all; raises :class:`EngineError`.

        Images that have a name, that others are made of, or that a container uses, stay.
        """
        force: Query = {"force": True, "v": True}
        for id_ in await self._found("/containers/json", {}, tenant):
            await self._delete(f"/containers/{id_}", force)
        for id_ in await self._found("/images/json", {"dangling": ["true"]}, tenant):
            if not self._registry.holders("image", id_):
                await self._delete(f"/images/{id_}", {})

    async def _found(
        self, path: str, filters: dict[str, list[str]], tenant: str | None
    ) -> list[str]:
        labels = [f"{BUILD}={self._registry.instance}"]
        if tenant is not None:
            labels.append(f"{OWNER}={tenant}")
        query: Query = {"filters": json.dumps({**filters, "label": labels})}
        if path == "/containers/json":
            query = {**query, "all": True}
        found = await self._client.call("GET", path, query=query) or []
        busy = {each.tenant for each in self._registry.pending() if each.kind == "image"}
        ours = [(item["Id"], item.get("Labels") or {}) for item in found]
        return [
            id_
            for id_, labels in ours
            if labels.get(BUILD) == self._registry.instance
            and labels.get(OWNER) not in busy
            and tenant in (None, labels.get(OWNER))
        ]

    async def _delete(self, path: str, query: Query) -> None:
        try:
            await self._client.call("DELETE", path, query=query)
        except Refused as error:
            if error.status not in _IN_USE:
                raise
