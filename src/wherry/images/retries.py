"""When to try a registry again, and how long to wait before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from wherry.errors import ImageError

_T = TypeVar("_T")


class Transient(Exception):
    """A failure that may pass: the error to raise when it does not, and when to try again."""

    def __init__(self, error: ImageError, *, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
        """Seconds the registry asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """Exponential backoff with jitter; a registry's Retry-After counts when it is longer."""

    attempts: int = 5
    first: float = 0.5
    """Seconds before the second attempt, doubled for every further one."""
    longest: float = 20.0
    """Seconds."""
    longest_retry_after: float = 120.0
    """Seconds; a registry that asks for more is given up at once."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt (1 is the first), half of it random."""
        whole = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return whole * (0.5 + self.jitter() / 2)

    async def run(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Call an operation until it no longer raises Transient; raises its error at last."""
        backoff = Backoff(self)
        while True:
            try:
                return await operation()
            except Transient as problem:
                await backoff.pause(problem)


class Backoff:
    """The attempts made so far at one thing."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._attempt = 0

    def reset(self) -> None:
        """Count from the start again: there was progress."""
        self._attempt = 0

    async def pause(self, problem: Transient) -> None:
        """Wait for the next attempt, or raise the problem's error when there is none left."""
        self._attempt += 1
        asked = problem.retry_after or 0.0
        if self._attempt >= self._retries.attempts or asked > self._retries.longest_retry_after:
            raise problem.error from problem.__cause__
        await self._retries.sleep(max(asked, self._retries.delay(self._attempt)))
