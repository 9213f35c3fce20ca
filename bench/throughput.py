"""Containers per second, and the latency of each call, against the number of callers."""

from __future__ import annotations

import time
from asyncio import TaskGroup
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE, cold, processes, ready
from bench.harness import Missing

if TYPE_CHECKING:
    from bench.calls import Call, ReadyCalls
    from bench.place import Place

CALLERS = (1, 2, 4, 8, 16, 32, 64)
KINDS = ("cold", "ready", "docker")
_WINDOW = {"cold": 1.0, "ready": 1.0, "docker": 1.5}
"""Seconds in which calls begin; those of docker last long."""
_LEAD = {"cold": 0.2, "ready": 0.4}
"""Seconds before that, which are not counted: what was made ready beforehand is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What so many callers at a time got, or why nobody did."""

    kind: str
    callers: int
    seconds: float = 0.0
    samples: tuple[float, ...] = ()
    """Milliseconds of each call."""
    hits: int | None = None
    """Calls that found a container ready, where any were kept ready."""
    note: str = ""

    @property
    def per_second(self) -> float:
        return len(self.samples) / self.seconds


async def measure_throughput(
    place: Place,
    *,
    callers: Sequence[int] = CALLERS,
    kinds: Sequence[str] = KINDS,
    scale: float = 1.0,
) -> list[Point]:
    """Measure each kind with each number of callers; ``scale`` makes all of it shorter."""
    return [
        await _point(place, kind, count=count, scale=scale) for count in callers for kind in kinds
    ]


async def _point(place: Place, kind: str, *, count: int, scale: float) -> Point:
    try:
        async with AsyncExitStack() as stack:
            call, calls = await _call(place, kind, count=count, stack=stack)
            if kind in _LEAD:
                await sustained(call, callers=count, window=_LEAD[kind] * scale)
            hits = calls.stats.hits if calls else 0
            seconds, samples = await sustained(call, callers=count, window=_WINDOW[kind] * scale)
            return Point(
                kind=kind,
                callers=count,
                seconds=seconds,
                samples=tuple(samples),
                hits=calls.stats.hits - hits if calls else None,
            )
    except Missing as error:
        return Point(kind=kind, callers=count, note=str(error))


async def _call(
    place: Place, kind: str, *, count: int, stack: AsyncExitStack
) -> tuple[Call, ReadyCalls | None]:
    match kind:
        case "cold":
            return cold(await place.client()), None
        case "ready":
            engine = await place.another_engine()
            calls = await stack.enter_async_context(ready(engine, least=count))
            return calls.call, calls
        case _:
            command = (await place.docker()).run("--network", "none", IMAGE, *COMMAND)
            return await stack.enter_async_context(processes(command)), None


async def sustained(
    call: Call,
    *,
    callers: int,
    window: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, list[float]]:
    """Call from so many callers at a time for ``window`` seconds, and let all of them end.

    Returns the seconds until the last call's end, and the milliseconds of each.
    """
    took: list[float] = []
    began = clock()

    async def caller() -> None:
        start = clock()
        while True:  # once at least: many callers take their time to begin
            await call()
            took.append((clock() - start) * 1000)
            if (start := clock()) >= began + window:
                return

    async with TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return clock() - began, took
