"""How often functions were called: counted in memory, written now and then."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.functions.durably import completed

if TYPE_CHECKING:
    from wherry.functions.database import Database

_EVERY = 5.0
"""Seconds between a call and its count on disk, at most."""

_log = logging.getLogger(__name__)


class Counting:
    """The numbers of calls; ``lock`` is held while they are written."""

    def __init__(self, database: Database, lock: asyncio.Lock) -> None:
        self._database = database
        self._lock = lock
        self._numbers = database.invocations()
        self._unwritten: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def number(self, qualified: str) -> int:
        """Return how often a function was called."""
        return self._numbers.get(qualified, 0)

    def add(self, qualified: str) -> None:
        """Count one call."""
        self._numbers[qualified] = self.number(qualified) + 1
        self._unwritten.add(qualified)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._due)

    def forget(self, qualified: str) -> None:
        """Drop a function's number."""
        self._numbers.pop(qualified, None)
        self._unwritten.discard(qualified)

    async def write(self) -> None:
        """Write what changed since the last time. Raises :class:`EngineError`."""
        async with self._lock:
            numbers = {name: self._numbers[name] for name in self._unwritten}
            self._unwritten.clear()
            if numbers:
                await completed(self._database.put_invocations, numbers)

    async def aclose(self) -> None:
        """Write the last ones; no call may be counted any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        await self.write()

    def _due(self) -> None:
        self._timer = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_or_say())

    async def _write_or_say(self) -> None:
        try:
            await self.write()
        except EngineError as error:  # nothing but the numbers depends on it
            _log.warning("numbers of calls are not written", extra={"reason": str(error)})
