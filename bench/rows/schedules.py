"""10,000 schedules: how late they begin, and what they cost while none of them is due."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import Bound, Missing, Row, Sides
from bench.place import scratch

from wherry.models import Exit
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.model import Definition
from wherry.triggers.cron.scheduler import Scheduler
from wherry.triggers.cron.store import ScheduleStore

if TYPE_CHECKING:
    from bench.place import Place

    from wherry.triggers.cron.model import Schedule

SCHEDULES = 10_000
SETTLING = 2.0
"""Seconds before what is measured."""
WATCHED = 10.0
"""Seconds of ticks: a sixth of the schedules, each once."""
WORK = 0.05
"""Seconds that a job takes, waiting."""
_MINUTE = 60.0


class Lateness:
    """How long after its second each job has begun."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._seed = random.Random(5)

    def second(self) -> int:
        """Return a second of the minute."""
        return self._seed.randrange(60)

    async def job(self, second: int) -> None:
        """Be a job that is due in that second of every minute."""
        self.seconds.append((time.time() - second) % _MINUTE)
        await asyncio.sleep(WORK)

    def p99_ms(self) -> float:
        found = sorted(self.seconds)
        return found[int(len(found) * 0.99)] * 1000


@asynccontextmanager
async def ours_with(directory: Path, late: Lateness, *, minute: str) -> AsyncIterator[None]:
    """Have 10,000 schedules in a store on the disk, and a scheduler that runs them."""

    async def do(schedule: Schedule, *, id: str, write: object) -> Exit:  # noqa: A002
        await late.job(int(schedule.definition.function or ""))
        return Exit(0)

    clock = WallClock()
    async with await ScheduleStore.open(directory) as store:

        async def define(number: int) -> None:
            second = late.second()
            spec = f"{second} {minute}"
            given = Definition(name=f"job{number}", schedule=spec, function=str(second))
            await store.put(given, source="api", now=time.time())

        await asyncio.gather(*map(define, range(SCHEDULES)))
        scheduler = await Scheduler.open(store, do, clock=clock, kinds=("function",))
        running = asyncio.create_task(scheduler.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait([running])
            await scheduler.aclose(grace=1.0)
            clock.close()


@asynccontextmanager
async def theirs_with(late: Lateness) -> AsyncIterator[None]:
    """Have as many jobs in memory, which is what APScheduler does best."""
    try:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler
        from apscheduler.triggers.cron import CronTrigger
    except ModuleNotFoundError as error:
        raise Missing("APScheduler is not installed; pip install 'wherry[bench]'") from error
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # of what passed meanwhile
    scheduler: Any = AsyncIOScheduler(timezone="UTC")
    scheduler.start(paused=True)
    for _ in range(SCHEDULES):
        second = late.second()
        scheduler.add_job(late.job, CronTrigger(second=second, timezone="UTC"), args=[second])
    scheduler.resume()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
        await asyncio.sleep(2 * WORK)


async def watched(late: Lateness) -> float:
    await asyncio.sleep(SETTLING)
    late.seconds.clear()
    await asyncio.sleep(WATCHED)
    return late.p99_ms()


@asynccontextmanager
async def ticks(place: Place) -> AsyncIterator[Sides]:
    async def ours() -> float:
        late = Lateness()
        with scratch(place) as directory:
            async with ours_with(directory, late, minute="* * * * *"):
                return await watched(late)

    async def theirs() -> float:
        late = Lateness()
        async with theirs_with(late):
            return await watched(late)

    yield Sides(ours, theirs)


@asynccontextmanager
async def nothing_due(place: Place) -> AsyncIterator[Sides]:
    async def ours() -> float:
        with scratch(place) as directory:
            async with ours_with(directory, Lateness(), minute="0 0 1 1 *"):
                await asyncio.sleep(SETTLING)
                began, used = time.monotonic(), time.process_time()
                await asyncio.sleep(WATCHED)
                return 100 * (time.process_time() - used) / (time.monotonic() - began)

    yield Sides(ours)


ROWS = (
    Row(
        name="10,000 schedules, 167 due each second, tick error p99",
        competitor="APScheduler, its jobs in memory",
        unit="ms",
        figure="ours",
        must=Bound("<=", 50),
        wanted=Bound("<=", 25),
        sides=ticks,
        runs=3,
        warm_up=0,
    ),
    Row(
        name="10,000 schedules, none due, idle CPU",
        competitor="none: a bound of its own",
        unit="%",
        figure="ours",
        must=Bound("<=", 1),
        wanted=Bound("<=", 0.1),
        sides=nothing_due,
        runs=3,
        warm_up=0,
    ),
)
