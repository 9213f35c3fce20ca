"""Removing what has stopped, and telling how much there is: object by object."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import Refused
from wherry.proxy.policy import filters

if TYPE_CHECKING:
    from wherry.proxy.handlers.call import Call

_STOPPED = frozenset({"created", "exited", "dead"})


async def builds(call: Call) -> None:
    """Remove nothing, and say so: the cache is everybody's.

    ``docker system prune`` asks for it in the end, and would call the whole of it a failure.
    """
    await call.exchange.json(200, {"CachesDeleted": [], "SpaceReclaimed": 0})


async def containers(call: Call) -> None:
    """Remove the tenant's containers that do not run."""
    scope = call.scope
    wanted = filters.parse_prune(call.route.query.one("filters"))
    now = time.time()
    gone: list[str] = []
    for owned in scope.registry.owned(scope.name, "container"):
        try:
            described = await scope.call("GET", f"/containers/{owned.id}/json")
            labels = described["Config"].get("Labels") or {}
            if described["State"]["Status"] not in _STOPPED or not wanted.keeps(
                labels, created=owned.created, now=now
            ):
                continue
            await scope.call("DELETE", f"/containers/{owned.id}")
        except Refused as error:
            if error.status != 404:
                continue
        scope.registry.forget("container", owned.id, tenant=scope.name)
        gone.append(owned.id)
    await call.exchange.json(200, {"ContainersDeleted": gone, "SpaceReclaimed": 0})
