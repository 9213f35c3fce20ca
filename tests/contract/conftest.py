"""Every engine the contract is run on: one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pytest
from tests.support.docker_harness import docker_harness
from tests.support.docker_ready_harness import docker_ready_harness
from tests.support.local_harness import local_harness
from tests.support.memory_harness import memory_harness
from tests.support.ready_harness import local_ready_harness
from tests.support.remote_harness import remote_harness

if TYPE_CHECKING:
    from tests.support.harness import Harness

ENGINES: dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]] = {
    "memory": memory_harness,
    "local": local_harness,
    "local-ready": local_ready_harness,
    "docker/unix": docker_harness("unix"),
    "docker/tcp": docker_harness("tcp"),
    "docker/tls": docker_harness("tls"),
    "docker-ready": docker_ready_harness,
    "remote": remote_harness,
}


@pytest.fixture(params=list(ENGINES))
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with ENGINES[request.param](request) as prepared:
        yield prepared
