"""Starts runs when they are due: one timer for all schedules, and nothing is ever polled."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, Self

from wherry.calls.waking import woken
from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError, WherryError
from wherry.triggers.cron.book import Book, Known
from wherry.triggers.cron.checking import check_allowed, checked
from wherry.triggers.cron.model import API
from wherry.triggers.cron.overlaps import Lane, admit
from wherry.triggers.cron.performing import perform
from wherry.triggers.cron.planning import plan
from wherry.triggers.cron.rows import AHEAD, Lost, Won
from wherry.triggers.cron.syntax import Reboot

if TYPE_CHECKING:
    from wherry.triggers.cron.clock import Clock
    from wherry.triggers.cron.model import Definition, Entry, Run, Schedule, Status
    from wherry.triggers.cron.outputs import Outputs
    from wherry.triggers.cron.performing import Perform
    from wherry.triggers.cron.store import ScheduleStore

_LOG = logging.getLogger(__name__)
_TELLING = 3.0
"""Seconds that are left to tell others of runs that were ended."""
_AT_ONCE = 256
"""Ticks of one claim: of very many the first begin before the last are claimed."""
_WITHOUT_PAUSE = 64
"""Next ticks that are worked out while nothing else happens."""
_AGAIN = 1.0
"""Seconds until a store that failed is asked again."""


class Report(Protocol):
    """Tells others of a run that is over; must not raise."""

    async def __call__(self, schedule: Schedule, run: Run) -> None:
        """Tell them."""
        ...


class Scheduler:
    """All schedules of one store, in memory with their next ticks."""

    def __init__(
        self,
        store: ScheduleStore,
        do: Perform,
        *,
        clock: Clock,
        kinds: Collection[str],
        report: Report | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``kinds`` are those that ``do`` can run; others cannot be defined."""
        self.store = store
        self.kinds = frozenset(kinds)
        self._do = do
        self._clock = clock
        self._report = report
        self._chance = chance
        self._book = Book()
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._noted: dict[str, asyncio.Event] = {}
        """Id of a run that goes on, to what is set when its end is in the store."""
        self._outputs: dict[tuple[str, str], Outputs] = {}
        """Schedule and id of a run that goes on, to what its try has written."""
        self._changed = asyncio.Event()

    @classmethod
    async def open(
        cls,
        store: ScheduleStore,
        do: Perform,
        *,
        clock: Clock,
        kinds: Collection[str],
        report: Report | None = None,
        chance: Callable[[], float] = random.random,
    ) -> Self:
        """Return one that knows what is in the store."""
        made = cls(store, do, clock=clock, kinds=kinds, report=report, chance=chance)
        await store.rewind(now=clock.now())
        for entry in await store.entries():
            made._know(entry)
        return made

    @property
    def known(self) -> Mapping[str, Known]:
        """Name to schedule, with its next tick."""
        return MappingProxyType(self._book.known)

    def get(self, name: str) -> Known:
        """Return a schedule; raises :class:`NotFound`."""
        try:
            return self._book.known[name]
        except KeyError:
            raise NotFound(f"there is no schedule {name!r}") from None

    def running(self, name: str) -> int:
        """Return how many runs of a schedule go on here."""
        lane = self._lanes.get(name)
        return len(lane.running) if lane else 0

    async def ended(self, id: str, *, within: float) -> None:  # noqa: A002 - as in Run
        """Wait for the end of a run that goes on here, at most so many seconds."""
        noted = self._noted.get(id)
        if noted is not None and within > 0:
            await woken(noted, within=within)

    def outputs(self, name: str, *, id: str) -> Outputs | None:  # noqa: A002 - as in Run
        """Return what the try of a run that goes on here has written; None: it does not."""
        return self._outputs.get((name, id))

    # ---- orders ----------------------------------------------------------------------------

    def check(self, definition: Definition) -> None:
        """Raise :class:`UsageError` for a definition that :meth:`define` would refuse."""
        checked(definition)
        check_allowed(definition, kinds=self.kinds)

    async def define(self, definition: Definition, *, source: str = API) -> Known:
        """Add a schedule, or change the one of its name; what runs goes on.

        Raises :class:`UsageError` for a definition that cannot be right,
        :class:`AlreadyExists` for the name of a schedule from elsewhere.
        """
        self.check(definition)
        known = self._book.known.get(definition.name)
        if known is not None and known.entry.source != source:
            raise AlreadyExists(
                f"name: {definition.name!r} is a schedule of {known.entry.source}; change it there"
            )
        if known is not None and known.entry.definition == definition:
            return known
        entry = await self.store.put(definition, source=source, now=self._clock.now())
        return self._woken(entry)

    async def remove(self, name: str, *, source: str = API) -> None:
        """Remove a schedule and its history; what runs goes on to its end.

        Raises :class:`NotFound`, and :class:`AlreadyExists` for one from elsewhere.
        """
        known = self.get(name)
        if known.entry.source != source:
            raise AlreadyExists(
                f"name: {name!r} is a schedule of {known.entry.source}; remove it there"
            )
        await self.store.remove(name)
        self._book.forget(name)

    async def pause(self, name: str, *, paused: bool) -> Known:
        """Let no ticks count, or let them count again. Raises :class:`NotFound`."""
        self.get(name)
        entry = await self.store.pause(name, paused=paused, now=self._clock.now())
        return self._woken(entry)

    async def run_now(self, name: str) -> Run:
        """Start a run beside the ticks; its overlap policy counts. Raises :class:`NotFound`."""
        known = self.get(name)
        run = await self.store.begin(name, cause="asked", now=self._clock.now())
        self._launch(known, Won(run=run, elsewhere=False))
        return run

    # ---- the loop --------------------------------------------------------------------------

    async def run(self) -> None:
        """Start what is due, until cancelled; runs that go on are left to :meth:`aclose`."""
        for known in list(self._book.known.values()):
            if isinstance(known.schedule.when, Reboot) and not known.entry.paused:
                run = await self.store.begin(known.name, cause="start", now=self._clock.now())
                self._launch(known, Won(run=run, elsewhere=False))
        latest = self._clock.now()
        while True:
            self._changed.clear()
            now = self._clock.now()
            try:
                if now < latest - AHEAD:
                    await self._rewind(now)
                latest = now
                await self._fire(now)
            except EngineError as error:
                _LOG.error("schedules cannot be read", extra={"error": str(error)})
                await self._clock.sleep(_AGAIN)
                continue
            await self._clock.until(self._book.next, self._changed)

    async def settled(self) -> None:
        """Wait until no run goes on, and everybody was told of those that did."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def aclose(self, *, grace: float = 0.0) -> None:
        """Let runs end within ``grace`` seconds, then end them. Idempotent."""
        if self._tasks and grace > 0:
            await asyncio.wait(self._tasks, timeout=grace)
        while self._tasks:  # once more for those who cannot tell others of their end
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_TELLING)

    async def _rewind(self, now: float) -> None:
        """Let schedules go on after the clock was set back by hours: it was wrong before."""
        await self.store.rewind(now=now)
        for entry in await self.store.entries():
            self._know(entry)

    async def _fire(self, now: float) -> None:
        """Start what is due, and only then work out what comes after it."""
        due, done = self._book.due(now), list[tuple[Known, float]]()
        try:
            while due:
                done += await self._claimed(due[:_AT_ONCE], now=now)
                del due[:_AT_ONCE]
                await asyncio.sleep(0)  # they begin now
        finally:
            for known in due:
                self._book.put_back(known, known)
            for number, (known, last) in enumerate(done, 1):
                self._book.put_back(known, known.after(last))
                if number % _WITHOUT_PAUSE == 0:
                    await asyncio.sleep(0)

    async def _claimed(self, due: list[Known], *, now: float) -> list[tuple[Known, float]]:
        """Claim ticks and launch those that are ours; return up to where each is dealt with."""
        plans = [(known, plan(known, now=now)) for known in due]
        claims = [claim for _, planned in plans for claim in planned]
        results = iter(await self.store.claim(claims))
        done = []
        for known, planned in plans:
            came = [next(results) for _ in planned]
            lost = next((each for each in came if isinstance(each, Lost)), None)
            for each in came:
                if isinstance(each, Won):
                    self._launch(known, each)
            if lost is None:
                done.append((known, planned[-1].tick))
            elif lost.entry is None:
                self._book.forget(known.name)
            else:
                self._know(lost.entry)
        return done

    def _know(self, entry: Entry) -> Known | None:
        try:
            schedule = checked(entry.definition, created=entry.created)
        except UsageError as error:  # such as a time zone that this machine does not have
            _LOG.error(
                "a schedule cannot be used", extra={"name": entry.definition.name,
                                                    "error": str(error)},
            )  # fmt: skip
            return None
        known = Known.of(schedule, entry)
        self._book.put(known)
        return known

    def _woken(self, entry: Entry) -> Known:
        known = self._know(entry)
        assert known is not None  # it was checked
        self._changed.set()
        return known

    # ---- one run ---------------------------------------------------------------------------

    def _launch(self, known: Known, won: Won) -> None:
        task = asyncio.ensure_future(self._one(known.schedule, won))
        self._tasks.add(task)
        self._noted[won.run.id] = asyncio.Event()
        task.add_done_callback(self._tasks.discard)

    async def _one(self, schedule: Schedule, won: Won) -> None:
        run = won.run
        if run.status != "missed":
            run = await self._lived(schedule, won)
        try:
            if won.run.status != "missed":
                await self.store.update(run)
        except WherryError as error:
            _LOG.error("a run cannot be noted", extra={"error": str(error)})
        finally:
            self._outputs.pop((run.name, run.id), None)
            self._noted.pop(run.id).set()
        if self._report is not None:
            await self._report(schedule, run)

    async def _lived(self, schedule: Schedule, won: Won) -> Run:
        """Return the run as it ended."""
        lane = self._lanes.setdefault(schedule.name, Lane())
        run, overlap = won.run, schedule.definition.overlap
        task = asyncio.current_task()
        assert task is not None
        try:
            if schedule.jitter and run.cause == "time":
                await self._clock.sleep(self._chance() * schedule.jitter)
            why = await admit(lane, run, overlap=overlap, elsewhere=won.elsewhere)
            if why is not None:
                return replace(run, status="skipped", error=why, ended=self._clock.now())
            lane.enter(run, task)
            run = replace(run, status="running", started=self._clock.now())
            self.store.update_soon(run)
            show = partial(self._outputs.__setitem__, (run.name, run.id))
            return await perform(schedule, run, do=self._do, clock=self._clock, show=show)
        except asyncio.CancelledError:
            why = "a later run took its place" if run.id in lane.replaced else "it was stopped"
            status: Status = "missed" if run.started is None else "failed"
            return replace(run, status=status, error=why, ended=self._clock.now())
        except WherryError as error:
            return replace(run, status="failed", error=str(error), ended=self._clock.now())
        finally:
            lane.leave(run)
