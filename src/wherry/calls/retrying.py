"""Which calls are tried again, and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIED = frozenset({429, 500, 502, 503, 504})
"""Statuses that another try may mend."""

LONGEST = 3600.0
"""Seconds: the longest delay there can be, whoever asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays that double: ``first``, twice that, … up to ``most``; each shortened by chance.

    Up to half is taken off by chance, so that what failed together does not come back together.
    """

    first: float = 1.0
    """Seconds."""
    most: float = 300.0
    """Seconds."""
    chance: Callable[[], float] = random.random
    """Returns a number from 0 to 1."""

    def delay(self, failures: int, *, asked: float | None = None) -> float:
        """Return the seconds until the next try after so many failures, the last one included.

        ``asked`` is what a ``Retry-After`` said: never sooner than that, up to an hour.
        """
        longest = min(self.most, self.first * 2.0 ** min(failures - 1, 60))
        delay = longest * (1.0 - self.chance() / 2)
        return min(LONGEST, max(delay, asked or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call of the queue is tried when its function does not say."""

    retries: int = 3
    """Tries after the first."""
    backoff: Backoff = Backoff()
    refusal: Backoff = Backoff(first=0.25, most=10.0)
    """Between tries that did not begin, because there was no place; these do not count."""
    refusals: int = 10_000
    """How often there may be no place for a call: about a day."""
    interruptions: int = 20
    """How often a call may be cut short by the server's own end before it counts as its cause."""
    callbacks: Backoff = Backoff(most=600.0)
    callback_attempts: int = 16


def retry_after(text: str | None) -> float | None:
    """Read a ``Retry-After``, seconds or a date, as seconds from now; None when it is neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
