"""The remote engine, ready for the contract: a server in front of the session's Docker engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.docker_harness import ids_of
from tests.support.harness import Harness
from tests.support.remote_server import TOKEN, remote_server

from wherry.engines.remote.engine import RemoteEngine

if TYPE_CHECKING:
    import pytest
    from tests.support.dockerd import Dockerd

    from wherry.engines.base import Container


@asynccontextmanager
async def remote_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Serve the session's Docker engine, and be a client of that."""
    daemon: Dockerd = request.getfixturevalue("dockerd")
    async with remote_server(daemon.unix) as server:
        engine = RemoteEngine.connect(f"remote+http://{TOKEN}@{server.host}:{server.port}")
        yield harness_of(engine, daemon)
        await engine.aclose()


def harness_of(engine: RemoteEngine, daemon: Dockerd) -> Harness:
    async def leftovers() -> list[str]:
        await engine.settled()
        return [f"container {name}" for name in await asyncio.to_thread(ids_of, daemon)]

    async def ids() -> set[str]:
        await engine.settled()
        return await asyncio.to_thread(ids_of, daemon)

    async def cut(container: Container) -> None:
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)

    return Harness(
        name="remote",
        engine=engine,
        leftovers=leftovers,
        ids=ids,
        cut=cut,
        unavailable=lambda: RemoteEngine.connect("remote+http://secret@127.0.0.1:9"),
        patience=60.0,
        timeout=2.0,
        # As much as on a TCP connection to an engine, and as much as the server's own holds.
        in_flight=40 * 1024 * 1024,
        at_once=20,
    )
