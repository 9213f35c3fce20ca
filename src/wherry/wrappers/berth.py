"""Where one function's ready containers lie, and who keeps as many of them as are needed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Self

from wherry.models import Ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from wherry.engines.base import ReadyEngine, Slot
    from wherry.models import Function, Invocation

_log = logging.getLogger(__name__)
_LETTING_PASS = 0.01
"""Seconds from a call to the making of the container that replaces its own."""

_PATIENCE = (0.5, 30.0)
"""Seconds after a failure before the next try: the first, and the longest. A failure is also
a container that ended although nobody had called it, unless it is the first since a call."""


@dataclass(slots=True)
class PoolStats:
    """How ready containers did: calls, containers, seconds."""

    hits: int = 0
    """Calls that found a container waiting."""
    misses: int = 0
    """Calls that had to be made cold."""
    prepared: int = 0
    """Containers made ready."""
    discarded: int = 0
    """Containers given up unused: idle, dead, or made from something older."""
    ready: int = 0
    """Containers that wait now."""
    wait: float = 0.0
    """Seconds that calls waited for their container to be theirs, in all."""


class Held:
    """A ready container and what removes it."""

    def __init__(self, slot: Slot, stack: AsyncExitStack, function: Function) -> None:
        self.slot = slot
        self._function = function
        self._stack = stack
        self._watch: asyncio.Task[None] | None = None

    def own(self, invocation: Invocation) -> Invocation:
        """Return a call as the container's own function has it, which it was made from."""
        if invocation.function is self._function:
            return invocation
        return replace(invocation, function=self._function)

    def watch(self, lost: Callable[[], None]) -> None:
        """Call ``lost`` when the container ends although nobody has called it."""
        self._watch = asyncio.create_task(self._wait(lost))

    async def __aenter__(self) -> Self:
        self._unwatch()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unwatch()
        await self._stack.__aexit__(kind, error, trace)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _wait(self, lost: Callable[[], None]) -> None:
        await self.slot.ended()
        lost()


class Berth:
    """Keeps the containers of one function ready."""

    def __init__(
        self, engine: ReadyEngine, function: Function, *, has_room: Callable[[], bool]
    ) -> None:
        self._engine = engine
        self._function = function
        self._has_room = has_room
        self._waiting: deque[Held] = deque()
        self._unwanted: deque[Held] = deque()
        self._target = self._ready.min
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._failures = 0
        self._resume = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self.stats = PoolStats()

    @property
    def _ready(self) -> Ready:
        return self._function.ready or Ready(min=0, max=0)

    def define(self, function: Function) -> None:
        """Use this definition from now on; what was made from another is given up.

        Another timeout, output limit, concurrency or number of ready containers is nothing that
        a container is made from.
        """
        if function is not self._function and function != self._function:
            kept = 0
            if stands_for(function) == stands_for(self._function):
                wanted = self._target if function.ready == self._function.ready else 0
                kept = max(wanted, function.ready.min if function.ready else 0)
            while len(self._waiting) > kept:
                self._unwanted.append(self._waiting.popleft())
            self._failures, self._resume = 0, 0.0
            self._full.clear()
            self._wake.set()
            self._function = function
            self._target = max(kept, self._ready.min)
        self._function = function
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._keep())
            self._wake.set()

    def take(self, invocation: Invocation) -> Held | None:
        """Return a container for this call, None when there is none that can serve it."""
        while self._waiting:
            held = self._waiting.popleft()
            if held.slot.usable:
                if held.slot.serves(held.own(invocation)):
                    self.stats.ready = len(self._waiting)
                    return held
                self._waiting.appendleft(held)
                return None
            self._unwanted.append(held)
        return None

    def hit(self, *, waited: float) -> None:
        """Note a call that found its container, which is to be replaced."""
        self._failures, self._resume = 0, 0.0
        self.stats.hits += 1
        self.stats.wait += waited
        if self._waiting:
            # Making one costs a processor what the call itself needs now: let short calls pass.
            asyncio.get_running_loop().call_later(_LETTING_PASS, self._wake.set)
        else:
            self._grow()
            self._wake.set()

    def missed(self, *, waited: float) -> None:
        """Note a call that was made cold: more are needed, unless none that waits would do."""
        self.stats.misses += 1
        self.stats.wait += waited
        if not self._waiting:
            self._grow()
        self._wake.set()

    async def filled(self) -> None:
        """Wait until as many are ready as there should be, or making one has failed."""
        await self._full.wait()

    async def aclose(self) -> None:
        """Give up every container. Idempotent."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._unwanted.extend(self._waiting)
        self._waiting.clear()
        await self._clear()
        self._full.set()

    def _grow(self) -> None:
        self._target = min(self._ready.max, max(1, self._target * 2))

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            await self._clear()
            await self._fill()
            self._full.set()
            try:
                async with asyncio.timeout(self._patience()):
                    await self._wake.wait()
            except TimeoutError:
                if not self._failures:
                    self._shrink()

    def _patience(self) -> float | None:
        if (pause := self._resume - monotonic()) > 0:
            return pause
        return self._ready.idle if self._target > self._ready.min else None

    def _pause(self) -> None:
        first, longest = _PATIENCE
        self._resume = monotonic() + min(longest, first * 2.0 ** min(self._failures - 1, 10))

    async def _fill(self) -> None:
        while len(self._waiting) < self._target and self._may_make():
            try:
                held = await self._make()
            except Exception as error:  # noqa: BLE001 - it costs no call anything
                self._failures += 1
                self._pause()
                _log.warning(
                    "a container could not be made ready",
                    extra={"function": self._function.name, "error": repr(error)},
                )
                return
            self.stats.prepared += 1
            if len(self._waiting) >= self._target:  # fewer are asked for since it was begun
                self._unwanted.append(held)
                self._wake.set()
                return
            self._waiting.append(held)
            self.stats.ready = len(self._waiting)

    def _may_make(self) -> bool:
        if monotonic() < self._resume:
            return False
        return len(self._waiting) < self._ready.min or self._has_room()

    async def _make(self) -> Held:
        function = self._function
        async with AsyncExitStack() as stack:
            slot = await stack.enter_async_context(self._engine.reserve(function))
            held = Held(slot, stack.pop_all(), function)
        now = self._function
        if function is not now and stands_for(function) != stands_for(now):
            self._unwanted.append(held)
            return await self._make()
        held.watch(self._lost)
        return held

    def _lost(self) -> None:
        dead = [held for held in self._waiting if not held.slot.usable]
        for held in dead:
            self._waiting.remove(held)
            self._unwanted.append(held)
        self.stats.ready = len(self._waiting)
        if dead:
            # The first is replaced at once; what ends again and again, uncalled, is not.
            self._failures += 1
            if self._failures > 1:
                self._pause()
        self._wake.set()

    def _shrink(self) -> None:
        self._target = max(self._ready.min, self._target // 2)
        while len(self._waiting) > self._target:
            self._unwanted.append(self._waiting.popleft())

    async def _clear(self) -> None:
        while self._unwanted:
            held = self._unwanted.popleft()
            self.stats.discarded += 1
            async with held:
                pass
        self.stats.ready = len(self._waiting)


def stands_for(function: Function) -> Function:
    """Return the part of a definition that its ready containers are made from."""
    level = function.ready.level if function.ready else "created"
    limits = replace(function.limits, timeout=None, stdout=None)
    return replace(function, limits=limits, concurrency=None, ready=Ready(level=level))


def plenty_of_memory() -> bool:
    """Whether more than a tenth of this machine's memory is free to be used."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 10 > int(fields["MemTotal"].split()[0])
