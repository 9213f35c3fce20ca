"""Runs of one schedule that meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Overlap, Run


@dataclass(slots=True)
class Lane:
    """The runs of one schedule that go on now, and the one that waits for them."""

    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Run id to what runs it."""
    replaced: set[str] = field(default_factory=set)
    """Ids of runs that are being ended for a later one."""
    waiting: Run | None = None
    free: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing runs."""

    @property
    def is_busy(self) -> bool:
        """Whether a run goes on."""
        return bool(self.running)

    def enter(self, run: Run, task: asyncio.Task[None]) -> None:
        """Note that a run begins."""
        self.running[run.id] = task
        self.free.clear()

    def leave(self, run: Run) -> None:
        """Note that a run is over. Idempotent."""
        self.running.pop(run.id, None)
        self.replaced.discard(run.id)
        if not self.running:
            self.free.set()

    def replace(self) -> None:
        """End what runs now."""
        for id_, task in self.running.items():
            self.replaced.add(id_)
            task.cancel()


async def admit(lane: Lane, run: Run, *, overlap: Overlap, elsewhere: bool) -> str | None:
    """Wait until a run may begin; return why it may not, else None.

    ``elsewhere``: another scheduler has a run of the same schedule, which cannot be waited for.
    """
    if overlap == "allow":
        return None
    if elsewhere:
        return "another scheduler still runs this"
    if not lane.is_busy and lane.waiting is None:
        return None
    match overlap:
        case "skip":
            return "the run before it goes on still"
        case "queue" if lane.waiting is not None:
            return "the run before it goes on still, and one waits already"
        case "replace" if lane.waiting is not None:
            return "a run that replaces the one before it is about to begin"
        case "replace":
            lane.replace()
    lane.waiting = run
    try:
        while lane.is_busy:
            await lane.free.wait()
    finally:
        lane.waiting = None
    return None
