"""Whether a node still lives, told by files and by clocks that need not agree."""

from __future__ import annotations

from dataclasses import dataclass

PERIODS = 3
"""Refreshes that a node may miss."""
SKEW = 60.0
"""Seconds by which a node's clock may differ from ours when we see it for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One file as it was read. Seconds."""

    content: bytes
    age: float
    """Since its modification, both by the clock of the place."""
    stamp: float | None
    """When it was written, by the clock of who wrote it."""
    grain: float = 0.0
    """Rounding of the age."""


@dataclass(slots=True)
class _Known:
    content: bytes
    since: float
    """When this content was seen first, by our monotonic clock."""
    moved: float | None = None
    """When it was seen to move on: what is seen for the first time has not."""


class Freshness:
    """The states that were seen, and since when.

    A state is stale when its file was last modified more than three refreshes ago by the clock
    of the place; when we have seen the same content for so long, by our own monotonic clock; and
    when its own time is that long ago, as in a copy that was put back. That last clock is
    another machine's and may be wrong: it is not asked about a node that was seen to move on,
    and believed with a minute's tolerance of one that is seen for the first time.
    """

    def __init__(self, *, refresh: float) -> None:
        self.limit = PERIODS * refresh
        self._known: dict[str, _Known] = {}

    def is_live(self, name: str, sight: Sight, *, now: float, wall: float) -> bool:
        """Note a sight of a file, and say whether its node lives.

        ``now`` is our monotonic clock, ``wall`` our clock of the day.
        """
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known(sight.content, now)
        elif known.content != sight.content:
            known.content, known.since, known.moved = sight.content, now, now
        if sight.age > self.limit + sight.grain or now - known.since > self.limit + sight.grain:
            return False
        if sight.stamp is None or known.moved is not None:
            return True
        return wall - sight.stamp <= self.limit + SKEW

    def forget_others(self, names: set[str]) -> None:
        """Forget files that are gone."""
        for name in self._known.keys() - names:
            del self._known[name]
