"""The queues that one server dispatches: their dispatchers, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.triggers.amqp.dispatcher import Dispatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """One queue."""

    name: str
    """Of its table."""
    queue: str
    broker: str
    """Its address, without user, password and options."""
    concurrency: int
    dispatcher: Dispatcher


class Dispatching:
    """Dispatches while the server stands; no broker can end it."""

    def __init__(self, queues: Sequence[Dispatched] = ()) -> None:
        self.queues = tuple(queues)
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._over = asyncio.Event()
        self._runs = False

    async def run(self) -> None:
        """Dispatch until stopped."""
        self._runs = True
        try:
            async with asyncio.TaskGroup() as group:
                for each in self.queues:
                    running = each.dispatcher.run(self._stop, at_once=self._at_once, patient=True)
                    group.create_task(running)
        finally:
            self._over.set()

    async def stop(self, *, at_once: asyncio.Event) -> None:
        """Take no more messages, and wait for what runs, within each dispatcher's own grace.

        What then still runs is ended and handed back, and so it is when ``at_once`` says so.
        """
        self._stop.set()
        if not self._runs:
            return
        ending = asyncio.ensure_future(self._over.wait())
        hurry = asyncio.ensure_future(at_once.wait())
        await asyncio.wait({ending, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        self._at_once.set()
        await ending
