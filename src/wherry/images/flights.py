"""Work that several callers want at one time, done once and shared by them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

_T = TypeVar("_T")


@dataclass(slots=True)
class _Flight(Generic[_T]):
    task: asyncio.Task[_T]
    waiting: int = 0


class Flights(Generic[_T]):
    """The work under way in every event loop, by its key."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Flight[_T]]] = (
            WeakKeyDictionary()
        )

    async def join(self, key: Hashable, work: Callable[[], Awaitable[_T]]) -> _T:
        """Start the work, or wait for it with whoever started it; the same outcome for all.

        A caller that is cancelled leaves the work to the others; the last one takes it along.
        """
        flights = self._loops.setdefault(asyncio.get_running_loop(), {})
        flight = flights.get(key)
        if flight is None:
            flight = flights[key] = _Flight(asyncio.ensure_future(_awaited(work)))
            flight.task.add_done_callback(lambda task: _forget(flights, key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flights.pop(key, None)
                flight.task.cancel()
                await asyncio.wait([flight.task])


def _forget(flights: dict[Hashable, _Flight[_T]], key: Hashable, task: asyncio.Task[_T]) -> None:
    if key in flights and flights[key].task is task:
        del flights[key]
    if not task.cancelled():
        task.exception()  # taken note of: every caller may be gone


async def _awaited(work: Callable[[], Awaitable[_T]]) -> _T:
    return await work()
