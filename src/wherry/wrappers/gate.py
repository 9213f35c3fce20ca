"""A fair queue in front of a number of places."""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """Lets in a number of callers at one time; the others wait in the order they came.

    One that stops waiting frees its place in the queue, and one that is let in just as it stops
    waiting passes its place on.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody is inside or waits."""
        return not self._inside and not self._waiting

    async def enter(self, places: int) -> None:
        """Wait until fewer than ``places`` are inside and nobody came earlier."""
        if self._inside < places and not self._waiting:
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to whoever has waited longest."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
                self._waiting.remove(turn)
                return
        self._inside -= 1
