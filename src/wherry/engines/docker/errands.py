"""What is done for calls while their callers go on: naming containers, and removing them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

_MOST = 32


class Errands:
    """What is under way: so many at a time, each bounded in time by itself.

    Removed here is a container whose program has ended by itself. Nothing runs in it any more:
    what is left is the engine's record of it.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, errand: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin one; :meth:`finish` raises what it raises."""
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def room(self) -> None:
        """Wait while there are too many."""
        while len(self._tasks) > _MOST:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait until none is left."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
