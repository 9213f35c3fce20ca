"""All schedules by name, and by when they are due next."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Entry, Schedule


@dataclass(frozen=True, slots=True)
class Known:
    """A schedule, and its next tick in Unix seconds; None: time will not make it run."""

    schedule: Schedule
    entry: Entry
    next: float | None

    @classmethod
    def of(cls, schedule: Schedule, entry: Entry) -> Known:
        """Work out the next tick."""
        tick = None if entry.paused else schedule.when.after(entry.last_tick)
        return cls(schedule, entry, tick)

    @property
    def name(self) -> str:
        """The schedule's."""
        return self.schedule.name

    def after(self, last: float) -> Known:
        """Return it as it stands once everything up to ``last`` is dealt with."""
        return self.of(self.schedule, replace(self.entry, last_tick=last))


class Book:
    """What is known, with a heap of what comes next."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self._heap: list[tuple[float, str]] = []

    @property
    def next(self) -> float | None:
        """When something is due next, in Unix seconds."""
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def put(self, known: Known) -> None:
        """Insert a schedule, or replace it."""
        self.known[known.name] = known
        if known.next is not None:
            heapq.heappush(self._heap, (known.next, known.name))

    def put_back(self, known: Known, changed: Known) -> None:
        """Insert what became of a schedule that was due, unless it was changed meanwhile."""
        if self.known.get(known.name) is known:
            self.put(changed)

    def forget(self, name: str) -> None:
        """Remove a schedule. Harmless if there is none."""
        self.known.pop(name, None)

    def due(self, now: float) -> list[Known]:
        """Take off the heap what is due; each is to be put back."""
        found: dict[str, Known] = {}
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)
            if self._holds(item):
                found[item[1]] = self.known[item[1]]
        return list(found.values())

    def _holds(self, item: tuple[float, str]) -> bool:
        known = self.known.get(item[1])
        return known is not None and known.next == item[0]
