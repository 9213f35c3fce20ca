"""The remote engine, ready for the contract: a server in front of the session's Docker engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.docker_harness import ids_of
from tests.support.harness import Harness

from wherry.engines.docker.engine import DockerEngine
from wherry.engines.remote.engine import RemoteEngine
from wherry.remote.audit import Audit
from wherry.remote.calls import Calls
from wherry.remote.guard import Guarded
from wherry.remote.model import Caller
from wherry.remote.policy_file import Policies
from wherry.remote.turns import Turns
from wherry.remote.verbs import Verbs
from wherry.server.listening import Listening
from wherry.server.sockets import bind

if TYPE_CHECKING:
    import pytest


@asynccontextmanager
async def remote_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    daemon = request.getfixturevalue("dockerd")
    docker = DockerEngine.connect(daemon.unix)
    guard = Guarded(Verbs(docker.client), policies=Policies(), audit=Audit(None))
    calls = Calls(docker, guard=guard, turns=Turns(64, waiting=1024))

    async def app(scope, receive, send):
        await calls.serve(scope, receive=receive, send=send, caller=Caller(name="operator"))

    listeners = bind(("127.0.0.1:0",), mode=0o600)
    listening = Listening(app, listeners)
    await listening.start()
    port = listeners[0].socket.getsockname()[1]
    engine = RemoteEngine.connect(f"remote+http://secret@127.0.0.1:{port}")

    async def leftovers():
        await engine.settled()
        return [f"container {name}" for name in await asyncio.to_thread(ids_of, daemon)]

    async def ids():
        await engine.settled()
        return await asyncio.to_thread(ids_of, daemon)

    async def cut(container):
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)

    yield Harness(
        name="remote",
        engine=engine,
        leftovers=leftovers,
        ids=ids,
        cut=cut,
        unavailable=lambda: RemoteEngine.connect("remote+http://secret@127.0.0.1:9"),
        patience=60.0,
        timeout=2.0,
        in_flight=40 * 1024 * 1024,
        at_once=20,
    )
    await engine.aclose()
    await listening.stop(grace=1)
    await docker.aclose()
