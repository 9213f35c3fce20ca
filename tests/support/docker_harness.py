"""The Docker engine, ready for the contract: on a private daemon, over each transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.harness import Harness

from wherry.engines.docker.engine import DockerEngine

if TYPE_CHECKING:
    import pytest
    from tests.support.dockerd import Dockerd

    from wherry.engines.base import Container

_LABEL = "wherry.invocation"


def docker_harness(
    transport: str,
) -> Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]:
    """Return the harness of ``unix``, ``tcp`` or ``tls``."""

    @asynccontextmanager
    async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
        fixture = "dockerd_tls" if transport == "tls" else "dockerd"
        daemon: Dockerd = request.getfixturevalue(fixture)
        engine = DockerEngine.connect(daemon.unix if transport == "unix" else daemon.tcp)
        yield harness_of(engine, daemon, transport)
        await engine.aclose()

    return harness


def harness_of(engine: DockerEngine, daemon: Dockerd, transport: str) -> Harness:
    async def leftovers() -> list[str]:
        """What is left when the engine has done what callers do not wait for."""
        await engine.settled()
        left = [f"container {name}" for name in await asyncio.to_thread(ids_of, daemon)]
        volumes = await asyncio.to_thread(daemon.request, "GET", "/volumes")
        left += [f"volume {found['Name']}" for found in json.loads(volumes)["Volumes"] or ()]
        return left

    async def ids() -> set[str]:
        await engine.settled()
        return await asyncio.to_thread(ids_of, daemon)

    async def cut(container: Container) -> None:
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)

    def unavailable() -> DockerEngine:
        return DockerEngine.connect("docker:///proc/nowhere.sock")

    return Harness(
        name=f"docker/{transport}",
        engine=engine,
        leftovers=leftovers,
        ids=ids,
        cut=cut,
        unavailable=unavailable,
        patience=60.0,
        timeout=2.0,
        # The engine holds about 1 MiB of each stream, the kernel 4 MiB at its end of a TCP
        # connection and 6 MiB at ours.
        in_flight=(8 if transport == "unix" else 24) * 1024 * 1024,
        at_once=200 if transport == "unix" else 20,
    )


def ids_of(daemon: Dockerd) -> set[str]:
    """Return the invocation ids of every container, as the daemon itself tells."""
    found = json.loads(daemon.request("GET", "/containers/json?all=1"))
    return {item["Labels"][_LABEL] for item in found if _LABEL in item["Labels"]}
