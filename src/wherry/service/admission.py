"""Who may run now: places per function, and places on the whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import Busy, ConcurrencyReached
from wherry.wrappers.gate import Gate

if TYPE_CHECKING:
    from wherry.functions.model import Deployed


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much a server does at one time."""

    max_running: int = 256
    """Calls that run, of all functions together."""
    queue_wait: float = 10.0
    """Seconds that a call waits for a place before it is answered 503."""
    max_waiting: int = 1024
    """Calls that wait at one time; what is more is answered 503 at once."""


class Queue:
    """A fair queue that knows how many are inside and how many wait."""

    def __init__(self) -> None:
        self.inside = 0
        self.waiting = 0
        self._gate = Gate()

    @property
    def idle(self) -> bool:
        """Whether nobody is inside or waits."""
        return not self.inside and not self.waiting

    def has_place(self, places: int) -> bool:
        """Whether the next one would not have to wait."""
        return self.inside < places and not self.waiting

    async def enter(self, places: int, *, patience: float) -> None:
        """Wait for a place, at most ``patience`` seconds; raises :class:`TimeoutError`."""
        if not self.has_place(places):
            self.waiting += 1
            try:
                async with asyncio.timeout(patience):
                    await self._gate.enter(places)
            finally:
                self.waiting -= 1
        else:
            await self._gate.enter(places)
        self.inside += 1

    def leave(self) -> None:
        """Give the place to whoever has waited longest."""
        self.inside -= 1
        self._gate.leave()


class Admission:
    """Lets calls in, first by their function's concurrency, then by the server's capacity."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._server = Queue()
        self._functions: dict[str, Queue] = {}

    @property
    def running(self) -> int:
        """Calls that have a place."""
        return self._server.inside

    @property
    def waiting(self) -> int:
        """Calls that wait for a place, of their function or of the server."""
        return self._server.waiting + sum(each.waiting for each in self._functions.values())

    def running_of(self, qualified: str) -> int:
        """Return how many calls of one function have a place."""
        queue = self._functions.get(qualified)
        return queue.inside if queue else 0

    def waiting_of(self, qualified: str) -> int:
        """Return how many calls of one function wait for one of its own places."""
        queue = self._functions.get(qualified)
        return queue.waiting if queue else 0

    @asynccontextmanager
    async def place(
        self, deployed: Deployed, *, clock: Callable[[], float], deadline: float
    ) -> AsyncIterator[Callable[[], None]]:
        """Hold a place while the block runs; wait for it no longer than to ``deadline``.

        What it yields gives the place up early, such as when the program has ended and only its
        container is still to be removed. Raises :class:`ConcurrencyReached` when as many calls
        of the function run as may, :class:`Busy` when the server has no place in time.
        """
        name = deployed.qualified
        queue = self._functions.setdefault(name, Queue())
        try:
            await self._enter_own(queue, deployed, left=deadline - clock())
        except BaseException:
            self._tidy(name, queue)
            raise
        held = [queue]

        def leave() -> None:
            while held:
                held.pop().leave()
            self._tidy(name, queue)

        try:
            if not deployed.deployment.pipe:  # its stages are what takes places
                await self._enter_server(left=deadline - clock())
                held.append(self._server)
            yield leave
        finally:
            leave()

    async def _enter_own(self, queue: Queue, deployed: Deployed, *, left: float) -> None:
        places, wait = deployed.settings.concurrency, deployed.settings.queue_wait
        if places is None or queue.has_place(places):
            await queue.enter(places or _UNLIMITED, patience=left)
            return
        reached = ConcurrencyReached(
            f"function {deployed.name!r} runs {places} at one time (wherry.concurrency), and so "
            "many run now"
        )
        if wait <= 0 or self.waiting >= self._capacity.max_waiting:
            raise reached
        try:
            await queue.enter(places, patience=min(wait, left))
        except TimeoutError as error:
            raise reached from error

    async def _enter_server(self, *, left: float) -> None:
        capacity, server = self._capacity, self._server
        if server.has_place(capacity.max_running):
            await server.enter(capacity.max_running, patience=left)
            return
        full = f"the server runs {capacity.max_running} calls at one time"
        if self.waiting >= capacity.max_waiting:
            raise Busy(f"{full}, and {self.waiting} more wait; try again later")
        wait = max(0.0, min(capacity.queue_wait, left))
        try:
            await server.enter(capacity.max_running, patience=wait)
        except TimeoutError as error:
            raise Busy(f"{full}, and none ended within {wait:.2g} s") from error

    def _tidy(self, name: str, queue: Queue) -> None:
        if queue.idle and self._functions.get(name) is queue:
            del self._functions[name]


_UNLIMITED = 1 << 62
