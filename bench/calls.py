"""The call that is measured, and the kinds of container it can be made in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from bench.harness import Missing
from bench.timing import check, process_ms

if TYPE_CHECKING:
    from wherry import AsyncClient, Function
    from wherry.engines.base import Engine
    from wherry.wrappers.berth import PoolStats
    from wherry.wrappers.pool import Pool

Call = Callable[[], Awaitable[None]]
"""Make the call once; raises when its answer is wrong."""

COMMAND = ("tr", "a-z", "A-Z")
INPUT, OUTPUT = "hello\n", "HELLO\n"
IMAGE = "busybox:latest"
_IDLE = 3600.0
_THREADS = 64


async def timed(call: Call) -> float:
    """Return the milliseconds of one call."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


def cold(client: AsyncClient, *, image: str = IMAGE) -> Call:
    """Return the call that makes its container itself."""

    async def call() -> None:
        check(await client.run(image, COMMAND, input=INPUT), OUTPUT)

    return call


def process(command: Sequence[str]) -> Call:
    """Return the call as a program of this machine."""

    async def call() -> None:
        process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    return call


@asynccontextmanager
async def processes(command: Sequence[str]) -> AsyncIterator[Call]:
    """Yield the call as a program of this machine that up to 64 callers may make at a time."""
    loop = asyncio.get_running_loop()

    def once() -> None:
        process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    with ThreadPoolExecutor(_THREADS) as threads:

        async def call() -> None:
            await loop.run_in_executor(threads, once)

        yield call


class NoneReady(Exception):
    """A call that is only of interest in a container that waited for it was made cold."""


class ReadyCalls:
    """A function of which containers wait, called as a user does: through client and pool."""

    def __init__(self, client: AsyncClient, pool: Pool, *, function: Function) -> None:
        self._client = client
        self._pool = pool
        self._function = function

    @property
    def stats(self) -> PoolStats:
        return self._pool.stats[self._function.name]

    async def call(self) -> None:
        """Make the call, cold if nothing waits."""
        result = await self._client.invoke(self._function, input=INPUT)
        check(result.check().text, OUTPUT)

    async def ready_call(self) -> None:
        """Make the call; raises :class:`NoneReady` when no container waited for it."""
        misses = self.stats.misses
        await self.call()
        if self.stats.misses > misses:
            raise NoneReady("the call was made cold: no container was ready for it")


@asynccontextmanager
async def ready(
    engine: Engine, *, least: int, level: Literal["created", "started"] = "created"
) -> AsyncIterator[ReadyCalls]:
    """Keep ``least`` containers ready; the end of the block closes the engine too."""
    from wherry import AsyncClient, Function, Ready
    from wherry.engines.base import ReadyEngine
    from wherry.errors import Unsupported
    from wherry.wrappers.pool import Pool

    if not isinstance(engine, ReadyEngine):
        await engine.aclose()
        raise Missing(f"{type(engine).__name__} cannot keep containers ready")
    pool = Pool(engine)
    function = Function(
        name=f"shout-{level}",
        image=IMAGE,
        command=COMMAND,
        ready=Ready(min=least, max=least, level=level, idle=_IDLE),
    )
    async with AsyncClient(pool) as client:
        try:
            await client.prepare(function)
        except Unsupported as error:
            raise Missing(str(error)) from error
        yield ReadyCalls(client, pool, function=function)
