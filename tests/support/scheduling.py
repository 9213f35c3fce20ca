"""A scheduler over a real store, with a clock that only moves when nothing runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.models import Exit
from wherry.triggers.cron.model import Definition, Run, Schedule
from wherry.triggers.cron.scheduler import Scheduler
from wherry.triggers.cron.store import RunFilter, ScheduleStore

if TYPE_CHECKING:
    from wherry.triggers.cron.outputs import Write
    from wherry.triggers.cron.rows import Retention

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
KINDS = ("function", "run", "exec", "local")


class SimulatedClock:
    """Jumps from tick to tick once everything has settled; stands still at its end."""

    def __init__(self, now: float = START) -> None:
        self._now = now
        self.end = now
        self._arrived = asyncio.Event()
        self.settle: Callable[[], Awaitable[None]] | None = None

    def now(self) -> float:
        return self._now

    async def until(self, moment: float | None, changed: asyncio.Event) -> None:
        if self.settle is not None:
            await self.settle()
        if changed.is_set():
            return
        if moment is not None and moment <= self.end:
            self._now = max(self._now, moment)
            return
        self._now = max(self._now, self.end)
        self._arrived.set()
        await changed.wait()

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
        await asyncio.sleep(0)

    async def arrived(self) -> None:
        """Wait until there is nothing more to do before the end."""
        self._arrived.clear()
        await self._arrived.wait()


@dataclass
class Did:
    """A job that does what it is told to, and remembers when it was run."""

    clock: SimulatedClock
    runs: list[tuple[str, float]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    """What the next runs come to; then success."""
    gate: asyncio.Event | None = None
    """Runs go on until it is set."""
    killed: list[str] = field(default_factory=list)

    async def __call__(self, schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        self.runs.append((schedule.name, self.clock.now()))
        self.ids.append(id)
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.killed.append(id)
                raise
        return self.exits.pop(0) if self.exits else Exit(0)

    def times(self, name: str) -> list[float]:
        return [when for each, when in self.runs if each == name]


@dataclass
class Scheduling:
    """One scheduler under test."""

    scheduler: Scheduler
    store: ScheduleStore
    clock: SimulatedClock
    did: Did
    told: list[Run]
    task: asyncio.Task[None] | None = None

    async def add(self, name: str, schedule: str, **more: Any) -> None:
        given = {"function": "job", **more}
        await self.scheduler.define(Definition(name=name, schedule=schedule, **given))

    async def pass_time(self, seconds: float, *, settle: bool = True) -> None:
        """Let the clock go on, tick by tick; without ``settle`` runs may still go on."""
        self.clock.end = self.clock.now() + seconds
        self.clock.settle = self.scheduler.settled if settle else _turns
        if self.task is None:
            self.task = asyncio.create_task(self.scheduler.run())
        self.scheduler._changed.set()
        await self.clock.arrived()

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None

    async def statuses(self, name: str) -> list[str]:
        return [run.status for run in await self.runs(name)]

    async def runs(self, name: str) -> list[Run]:
        """Return the oldest first."""
        return (await self.store.runs(RunFilter(name=name, limit=10_000)))[::-1]


async def _turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0.001)


@asynccontextmanager
async def scheduling(
    directory: Path, *, clock: SimulatedClock | None = None, keep: Retention | None = None
) -> AsyncIterator[Scheduling]:
    """Open one for the block."""
    clock = clock or SimulatedClock()
    did = Did(clock)
    told: list[Run] = []

    async def report(schedule: Schedule, run: Run) -> None:
        told.append(run)

    async with await ScheduleStore.open(directory, keep=keep) as store:
        scheduler = await Scheduler.open(
            store, did, clock=clock, kinds=KINDS, report=report, chance=lambda: 0.5
        )
        on = Scheduling(scheduler, store, clock, did, told)
        try:
            yield on
        finally:
            await on.stop()
            await scheduler.aclose()
