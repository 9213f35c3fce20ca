"""The schedules of one server: the scheduler, its sources, and their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.triggers.cron.scheduler import Scheduler
    from wherry.triggers.cron.sources import ScheduleSources


class Schedules:
    """Runs what is due while the server stands."""

    def __init__(self, scheduler: Scheduler, sources: ScheduleSources) -> None:
        self.scheduler = scheduler
        self.sources = sources
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Start what is due, and follow what files and labels say, until stopped."""
        self._running = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scheduler.run())
            group.create_task(self.sources.run())

    async def stop(self, *, grace: float, at_once: asyncio.Event) -> None:
        """Start nothing any more, and let runs end within ``grace`` seconds or until told."""
        if self._running is not None:
            self._running.cancel()
        closing = asyncio.ensure_future(self.scheduler.aclose(grace=grace))
        hurry = asyncio.ensure_future(at_once.wait())
        await asyncio.wait({closing, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not closing.done():
            await self.scheduler.aclose()
        await closing
