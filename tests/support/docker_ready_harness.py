"""The Docker engine behind a pool, ready for the contract: every call finds its container."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.docker_harness import docker_harness
from tests.support.ready_harness import ReadyFunctions

from wherry.engines.base import ReadyEngine
from wherry.engines.docker.owner import NAME_PREFIX
from wherry.models import Ready

if TYPE_CHECKING:
    import pytest
    from tests.support.dockerd import Dockerd
    from tests.support.harness import Harness


@asynccontextmanager
async def docker_ready_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    daemon: Dockerd = request.getfixturevalue("dockerd")
    async with docker_harness("unix")(request) as harness:
        assert isinstance(harness.engine, ReadyEngine)
        engine = ReadyFunctions(harness.engine, Ready(min=1, max=1))

        async def leftovers() -> list[str]:
            await engine.drain()
            return await harness.leftovers()

        async def ids() -> set[str]:
            """A ready container is named after its call; its labels are older than that."""
            await harness.ids()
            return await asyncio.to_thread(_names, daemon)

        yield replace(
            harness, name="docker-ready", engine=engine, leftovers=leftovers, ids=ids, at_once=20
        )
        await engine.aclose()


def _names(daemon: Dockerd) -> set[str]:
    found = json.loads(daemon.request("GET", "/containers/json?all=1"))
    return {item["Names"][0].lstrip("/").removeprefix(NAME_PREFIX) for item in found}
