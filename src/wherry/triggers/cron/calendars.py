"""Fields of a calendar as moments of real time, also where clocks are set back and forth.

cronsim knows the fields; it is asked in local time without a zone. What it says of zones itself
holds for five fixed fields alone, not for six, and not for ``*/10 2 * * *``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from cronsim import CronSim

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP = 7 * 86400
"""Seconds: no zone sets its clocks twice within that."""
_SECOND = timedelta(seconds=1)


class Calendar:
    """Six fields in a time zone.

    Where the hour is any hour, ticks follow real time: none is left out or added when clocks
    are set. Where it is not, a local time that is skipped ticks once, right after the gap, and
    one that comes twice ticks the first time only.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        """``expression`` has the second first, and is known to be right."""
        self.expression = expression
        self.zone = zone
        self._is_hourly = expression.split()[2] == "*"

    def after(self, moment: float) -> float | None:
        """Return the first tick later than ``moment``, in Unix seconds; None: there is none."""
        whole = int(moment // 1)
        found = self._by_real_time(whole) if self._is_hourly else self._by_the_clock(whole)
        return None if found is None else float(found)

    def _by_the_clock(self, moment: int) -> int | None:
        for local in self._fields_after(self._local(moment)):
            tick = self._instant(local)
            if tick > moment:
                return tick
        return None

    def _by_real_time(self, moment: int) -> int | None:
        while True:
            offset = self._offset(moment)
            naive = _naive(moment + offset)
            local = next(self._fields_after(naive), None)
            if local is None:
                return None
            tick = _stamp(local) - offset
            change = self._first_change(moment, tick)
            if change is None:
                return tick
            if (now := self._matching(change)) is not None:
                return now
            moment = change

    def _matching(self, change: int) -> int | None:
        """Return the moment at which clocks were set, when that is a tick."""
        local = self._local(change)
        return change if next(self._fields_after(local - _SECOND), None) == local else None

    def _instant(self, local: datetime) -> int:
        early = int(local.replace(tzinfo=self.zone, fold=0).timestamp())
        if self._local(early) == local:
            return early
        late = int(local.replace(tzinfo=self.zone, fold=1).timestamp())
        first, last = sorted((early, late))
        change = self._first_change(first, last)
        return last if change is None else change

    def _first_change(self, start: int, end: int) -> int | None:
        """Return the first second after ``start``, up to ``end``, with another offset."""
        offset = self._offset(start)
        while start < end:
            ahead = min(start + _STEP, end)
            if self._offset(ahead) != offset:
                return self._change_between(start, ahead)
            start = ahead
        return None

    def _change_between(self, before: int, after: int) -> int:
        offset = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _fields_after(self, local: datetime) -> Iterator[datetime]:
        yield from CronSim(self.expression, local)

    def _local(self, moment: int) -> datetime:
        return datetime.fromtimestamp(moment, self.zone).replace(tzinfo=None, fold=0)

    def _offset(self, moment: int) -> int:
        offset = datetime.fromtimestamp(moment, self.zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())


def _naive(moment: int) -> datetime:
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)


def _stamp(local: datetime) -> int:
    return int(local.replace(tzinfo=UTC).timestamp())
