"""A bounded queue for heavy loads: who comes when all places are taken waits for a turn."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from wherry.remote.faults import Fault

POSITION = "X-Queue-Position"
"""Header of an answer: the place in the queue that a request came to; 0: none waited."""
_REMEMBERED = 64
_GUESS = 5.0


class Full(Fault):
    """Too many requests wait already."""

    def __init__(self, *, waiting: int, retry_after: int) -> None:
        super().__init__(
            f"The server is busy: {waiting} requests wait for their turn already.",
            status=503,
            headers={"Retry-After": str(retry_after)},
        )


@dataclass(slots=True, eq=False)
class Turn:
    """One request's place, or its wait for one."""

    position: int
    """In the queue, when it came: 1 is the next; 0: it had a place at once."""
    came: float
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = 0.0


class Turns:
    """So many places at one time, given in the order of asking."""

    def __init__(
        self, places: int, *, waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Let ``places`` run at one time, and ``waiting`` wait beside them."""
        self.places = places
        self.most_waiting = waiting
        self._clock = clock
        self._running: set[Turn] = set()
        self._waiting: deque[Turn] = deque()
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self.refused = 0
        """Requests that found the queue full."""
        self.peak = 0
        """The most that ran or waited at one time since this was last taken."""

    @property
    def running(self) -> int:
        """Requests that have a place now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """Seconds that the first in the queue has waited."""
        return self._clock() - self._waiting[0].came if self._waiting else 0.0

    def enter(self) -> Turn:
        """Take a place, or one in the queue; :meth:`leave` it whatever happens. Raises Full."""
        turn = Turn(position=self._position(), came=self._clock())
        if turn.position:
            if len(self._waiting) >= self.most_waiting:
                self.refused += 1
                raise Full(waiting=len(self._waiting), retry_after=self.expected_wait())
            self._waiting.append(turn)
        else:
            self._grant(turn)
        self.peak = max(self.peak, self.running + self.waiting)
        return turn

    def leave(self, turn: Turn) -> None:
        """Give a place, or the wait for one, up. Idempotent."""
        if turn in self._running:
            self._running.discard(turn)
            self._took.append(self._clock() - turn.began)
            while self._waiting and len(self._running) < self.places:
                self._grant(self._waiting.popleft())
        elif turn in self._waiting:
            self._waiting.remove(turn)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Turn]:
        """Hold a place, after waiting for it. Raises Full."""
        turn = self.enter()
        try:
            await turn.granted.wait()
            yield turn
        finally:
            self.leave(turn)

    def place_of(self, turn: Turn) -> int:
        """Return how many wait before a request now, itself included; 0: it has its place."""
        return self._waiting.index(turn) + 1 if turn in self._waiting else 0

    def expected_wait(self) -> int:
        """Return the seconds that one more request would wait, by what the last ones took."""
        each = sum(self._took) / len(self._took) if self._took else _GUESS
        return max(1, min(3600, math.ceil(each * (len(self._waiting) + 1) / self.places)))

    def desired_nodes(self) -> int:
        """Return how many servers like this would let nobody wait, by what is asked of it now."""
        return max(1, math.ceil((self.running + self.waiting) / self.places))

    def _position(self) -> int:
        has_place = len(self._running) < self.places and not self._waiting
        return 0 if has_place else len(self._waiting) + 1

    def _grant(self, turn: Turn) -> None:
        turn.began = self._clock()
        self._running.add(turn)
        turn.granted.set()
