"""An engine behind a pool, ready for the contract: every call finds its container waiting."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.local_harness import local_harness

from wherry.engines.base import ReadyEngine
from wherry.models import Function, Invocation, Ready
from wherry.wrappers.pool import Pool

if TYPE_CHECKING:
    import pytest
    from tests.support.harness import Harness

    from wherry.engines.base import Container, Slot, Stdin


class ReadyFunctions:
    """An engine that gives every function ready containers, and waits for them before a call."""

    def __init__(self, engine: ReadyEngine, ready: Ready) -> None:
        self._engine = engine
        self._ready = ready
        self._pool = Pool(_Kept(engine))
        self.hits = 0

    async def prepare(self, function: Function) -> None:
        await self._pool.prepare(replace(function, ready=self._ready))

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[Container]:
        function = replace(invocation.function, ready=self._ready)
        await self._pool.prepare(function)
        async with self._pool.start(replace(invocation, function=function), stdin) as container:
            yield container

    async def drain(self) -> None:
        """Give up all that waits, and begin anew."""
        pool, self._pool = self._pool, Pool(_Kept(self._engine))
        self.hits += sum(stats.hits for stats in pool.stats.values())
        await pool.aclose()

    async def aclose(self) -> None:
        await self.drain()
        await self._engine.aclose()


class _Kept:
    """An engine that a pool does not close."""

    def __init__(self, engine: ReadyEngine) -> None:
        self._engine = engine

    async def prepare(self, function: Function) -> None:
        await self._engine.prepare(function)

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        return self._engine.start(invocation, stdin)

    def reserve(self, function: Function) -> AbstractAsyncContextManager[Slot]:
        return self._engine.reserve(function)

    async def aclose(self) -> None:
        """Leave it open."""


@contextmanager
def many_descriptors(number: int = 4096) -> Iterator[None]:
    """Let this process open more files, as far as it may: six for a container behind a gate."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(number, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def local_ready_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    with many_descriptors():
        async with local_harness(request) as harness:
            assert isinstance(harness.engine, ReadyEngine)
            engine = ReadyFunctions(harness.engine, Ready(min=1, max=2))

            async def leftovers() -> list[str]:
                await engine.drain()
                return await harness.leftovers()

            yield replace(harness, name="local-ready", engine=engine, leftovers=leftovers)
            await engine.aclose()
