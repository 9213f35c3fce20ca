"""Removing what callers left behind when they could not clean up: a kill -9, a crash.

A container is removed when its owner's process has certainly ended, which only the owner's own
host (and pid namespace) can know. So hosts that share an engine never reap each other's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused
from wherry.engines.docker.owner import OWNER, Owner

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Query


async def reap(client: DockerClient) -> list[str]:
    """Remove every container whose owner is gone; returns their names."""
    query: Query = {"all": True, "filters": json.dumps({"label": [OWNER]})}
    found = await client.call("GET", "/containers/json", query=query)
    orphans = [item for item in found if _is_orphan(item)]
    return [_name(item) for item in orphans if await _remove(client, item["Id"])]


def _is_orphan(found: dict[str, Any]) -> bool:
    owner = Owner.parse((found.get("Labels") or {}).get(OWNER, ""))
    return owner is not None and owner.is_gone()


def _name(found: dict[str, Any]) -> str:
    names: list[str] = found.get("Names") or [found["Id"]]
    return names[0].lstrip("/")


async def _remove(client: DockerClient, id_: str) -> bool:
    try:
        await client.call("DELETE", f"/containers/{id_}", query={"force": True, "v": True})
    except Refused as error:
        if error.status in (404, 409):  # somebody else was faster
            return False
        raise
    return True
