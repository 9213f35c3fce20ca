"""Containers in the foreground whose server was killed: nobody is left who waits for them.

Each has a label that names the process it belongs to. The next start kills what still runs of
processes that have certainly ended; what had ended by itself stays, as it was asked for.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import Refused
from wherry.engines.docker.owner import Owner, this_process
from wherry.errors import EngineError

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Query
    from wherry.engines.docker.engine import DockerEngine

FOREGROUND = "wherry.remote.foreground"
_UNENDED = frozenset({"created", "running", "paused", "restarting"})
_log = logging.getLogger(__name__)


def foreground_label() -> tuple[str, str]:
    """Return the label of a container that ends with this process."""
    return FOREGROUND, str(this_process())


async def reap(engine: DockerEngine) -> int:
    """End what a server before this one has left; return how many. An engine that fails is logged.

    Calls of our own engine are removed, and so are runs that were never started; runs in the
    foreground are killed.
    """
    try:
        removed = await engine.reap()
        ended = await _end_orphans(engine.client)
    except EngineError as error:
        _log.warning("what was left before could not be ended", extra={"reason": str(error)})
        return 0
    return len(removed) + ended


async def _end_orphans(client: DockerClient) -> int:
    query: Query = {"all": True, "filters": json.dumps({"label": [FOREGROUND]})}
    ended = 0
    for found in await client.call("GET", "/containers/json", query=query):
        owner = Owner.parse((found.get("Labels") or {}).get(FOREGROUND, ""))
        if owner is None or not owner.is_gone() or found.get("State") not in _UNENDED:
            continue
        try:
            if found["State"] == "created":
                await client.call("DELETE", f"/containers/{found['Id']}", query={"v": True})
            else:
                await client.call("POST", f"/containers/{found['Id']}/kill")
        except Refused as error:
            if error.status not in (404, 409):
                raise
        else:
            ended += 1
    return ended
