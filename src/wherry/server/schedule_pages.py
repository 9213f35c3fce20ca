"""The schedules of a server as the dashboard asks for them."""

from __future__ import annotations

import heapq
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from wherry.triggers.cron.checking import shown
from wherry.triggers.cron.model import API
from wherry.triggers.cron.store import RunFilter
from wherry.triggers.cron.syntax import preview
from wherry.ui.scheduled import Planned

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Definition, Run
    from wherry.triggers.cron.rows import Tally
    from wherry.triggers.cron.service import Schedules

_SAID = frozenset({"name", "schedule", "timezone", "kind"})
"""Fields that are shown in places of their own."""


class SchedulePages:
    """Implements :class:`wherry.ui.scheduled.Scheduled`."""

    def __init__(self, schedules: Schedules) -> None:
        self._scheduler = schedules.scheduler
        self._sources = schedules.sources

    @property
    def problems(self) -> Mapping[str, str]:
        """See the protocol."""
        return self._sources.problems

    def names(self) -> Sequence[str]:
        """See the protocol."""
        return sorted(self._scheduler.known)

    def get(self, name: str) -> Planned:
        """See the protocol."""
        known = self._scheduler.get(name)
        entry, definition = known.entry, shown(known.entry.definition)
        return Planned(
            name=name,
            when=definition.schedule,
            zone=definition.timezone or "UTC",
            what=what_of(definition),
            source=None if entry.source == API else entry.source,
            paused=entry.paused,
            running=self._scheduler.running(name),
            next=known.next,
            settings=tuple(_settings(definition)),
        )

    def next(self, count: int) -> Sequence[tuple[float, str]]:
        """See the protocol."""
        known = self._scheduler.known
        timed = ((each.next, name) for name, each in known.items() if each.next is not None)
        return heapq.nsmallest(count, timed)

    def coming(self, name: str, *, count: int) -> Sequence[float]:
        """See the protocol."""
        known = self._scheduler.get(name)
        if known.entry.paused:
            return []
        after = max(time.time(), known.entry.last_tick)
        return preview(known.schedule.when, after=after, count=count)

    async def tallies(self, names: Sequence[str], *, since: float, step: float) -> Sequence[Tally]:
        """See the protocol."""
        return await self._scheduler.store.tallies(names, since=since, step=step)

    async def runs(self, name: str, *, before: int | None, limit: int) -> Sequence[Run]:
        """See the protocol."""
        wanted = RunFilter(name=name, before=before, limit=limit)
        return await self._scheduler.store.runs(wanted)

    async def run(self, name: str, id: str) -> Run:  # noqa: A002 - as in Run
        """See the protocol."""
        live = self._scheduler.outputs(name, id=id)
        run = await self._scheduler.store.run(name, id)
        if live is None:
            return run
        return replace(run, stdout=live.stdout, stderr=live.stderr, truncated=live.truncated)

    async def start(self, name: str) -> Run:
        """See the protocol."""
        return await self._scheduler.run_now(name)

    async def pause(self, name: str, *, paused: bool) -> None:
        """See the protocol."""
        await self._scheduler.pause(name, paused=paused)


def what_of(definition: Definition) -> str:
    """Say what a schedule runs in a few words."""
    named = (definition.function, definition.image, definition.container, definition.service)
    what = next(filter(None, named), None) or shlex.join(definition.command or ())
    return f"{definition.kind} {what}"


def _settings(definition: Definition) -> list[tuple[str, str]]:
    found = msgspec.structs.asdict(definition)
    defaults = msgspec.structs.asdict(type(definition)(name="", schedule=""))
    return [
        (name.replace("_", " "), _text(name, value))
        for name, value in found.items()
        if name not in _SAID and (value != defaults[name] or name == "overlap")
    ]


def _text(name: str, value: object) -> str:
    match value:
        case True:
            return "yes"
        case list() if name == "command":
            return shlex.join(map(str, value))
        case list() | dict():
            return ", ".join(map(str, value))
    return str(value)
