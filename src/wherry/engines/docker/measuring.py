"""What containers take, by the engine's own account of their control groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wherry.engines.base import Usage
from wherry.engines.docker.failures import Refused

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient

_AT_ONCE = 8
_GONE = frozenset({404, 409})


async def measure(client: DockerClient, containers: Iterable[tuple[str, str]]) -> list[Usage]:
    """Ask for each container, given by the id of its call and its path in the engine's API.

    One that has ended is left out. Raises :class:`wherry.errors.EngineError`.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(call: str, path: str) -> Usage | None:
        async with places:
            try:
                query = {"stream": False, "one-shot": True}
                stats = await client.call("GET", f"{path}/stats", query=query)
            except Refused as error:
                if error.status not in _GONE:
                    raise
                return None
        return parse(call, stats)

    found = await asyncio.gather(*(one(call, path) for call, path in containers))
    return [each for each in found if each is not None]


def parse(id: str, stats: Mapping[str, Any]) -> Usage | None:  # noqa: A002
    """Read the engine's answer; None for a container that does not run.

    https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerStats
    """
    cpu = stats.get("cpu_stats") or {}
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    cached = details.get("total_inactive_file", details.get("inactive_file", 0))  # v1, v2
    nanoseconds = (cpu.get("cpu_usage") or {}).get("total_usage", 0)
    return Usage(
        id=id, cpu_seconds=nanoseconds / 1e9, memory=max(0, int(memory["usage"]) - int(cached))
    )
