"""What a dispatcher has done since it started, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts; who reads it must not change it."""

    acknowledged: int = 0
    """Messages that ended well."""
    rejected: int = 0
    """Messages that ended as dead letters."""
    retried: int = 0
    """Tries after which a message was queued again."""
    repeated: int = 0
    """Messages that were answered from the record."""
