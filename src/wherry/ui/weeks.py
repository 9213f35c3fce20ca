"""A week of runs as a picture, with a shape for each end that they come to, and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from wherry.ui.scheduled import MARKS, mark_of

if TYPE_CHECKING:
    from wherry.ui.scheduled import Counted, Mark

DAY = 86400.0
DAYS = 7
_WORST: tuple[Mark, ...] = ("failed", "missed", "skipped", "running", "succeeded")
"""Which of several in one place is seen."""

Shape = Literal["succeeded", "failed", "skipped", "missed", "running", "due"]
Tally = Counter["Mark"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One shape of the picture."""

    shape: Shape
    path: str
    """The ``d`` of an SVG path."""
    said: str


@dataclass(frozen=True, slots=True)
class Strip:
    """Some time as a row of shapes, the earliest at the left."""

    cells: tuple[Cell, ...]
    width: float
    height: float
    days: tuple[float, ...]
    """Where days begin."""
    now: float | None
    """Where now is."""
    said: str
    """All of it in words."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a schedule."""

    start: float
    strip: Strip
    tally: Tally


def week_start(now: float) -> float:
    """Return when the week begins: six days before today, at midnight UTC."""
    return now // DAY * DAY - (DAYS - 1) * DAY


def strip_of(
    found: Iterable[Counted], *, since: float, step: float, now: float, width: float = 4.0
) -> Strip:
    """Draw a week in one row; ``width`` of a step."""
    tallies = _by_slot(found)
    steps = int(DAYS * DAY / step)
    return _drawn(tallies, {}, first=0, steps=steps, since=since, step=step, now=now, width=width)


def days_of(
    found: Iterable[Counted], *, coming: Sequence[float], since: float, step: float, now: float
) -> list[Day]:
    """Draw a week with a row for each day, and in the last one what is still to come."""
    tallies = _by_slot(found)
    due = Counter(int((moment - since) // step) for moment in coming)
    steps = int(DAY / step)
    made = []
    for number in range(DAYS):
        first = number * steps
        total: Tally = Counter()
        for slot in range(first, first + steps):
            total.update(tallies.get(slot, {}))
        strip = _drawn(tallies, due, first=first, steps=steps, since=since, step=step, now=now,
                       width=12.0)  # fmt: skip
        made.append(Day(since + number * DAY, strip, total))
    return made


def totals(found: Iterable[Counted]) -> Tally:
    """Count all of it."""
    made: Tally = Counter()
    for each in found:
        made[mark_of(each.status)] += each.count
    return made


def in_words(tally: Tally) -> str:
    """Say a tally: ``12 succeeded, 1 failed``."""
    return ", ".join(f"{tally[mark]} {mark}" for mark in MARKS if tally[mark]) or "no runs"


def legend() -> list[Cell]:
    """Return one of each shape, as they are drawn beside their words."""
    return [
        Cell(shape, _path(shape, 6, 12, 5), shape)
        for shape in ("succeeded", "failed", "skipped", "missed", "running", "due")
    ]


def _by_slot(found: Iterable[Counted]) -> dict[int, Tally]:
    made: dict[int, Tally] = {}
    for each in found:
        made.setdefault(each.slot, Counter())[mark_of(each.status)] += each.count
    return made


def _drawn(
    tallies: dict[int, Tally],
    due: dict[int, int],
    *,
    first: int,
    steps: int,
    since: float,
    step: float,
    now: float,
    width: float,
) -> Strip:
    cells, total = [], Counter[str]()
    for slot in range(first, first + steps):
        middle = (slot - first + 0.5) * width
        tally = tallies.get(slot)
        if tally:
            worst: Shape = next(mark for mark in _WORST if tally[mark])
            said = in_words(tally)
            total.update(tally)
        elif slot in due:
            worst, said = "due", f"{due[slot]} due"
            total["due"] += due[slot]
        else:
            continue
        path = _path(worst, middle, 12, min(width / 2 - 0.4, 5))
        cells.append(Cell(worst, path, f"{_clock(since + slot * step)}: {said}"))
    at = (now - since) / step - first
    return Strip(
        cells=tuple(cells),
        width=steps * width,
        height=24,
        days=tuple((index * DAY / step) * width for index in range(1, int(steps * step // DAY))),
        now=round(at * width, 1) if 0 <= at <= steps else None,
        said=", ".join(f"{total[mark]} {mark}" for mark in (*MARKS, "due") if total[mark])
        or "no runs",
    )


def _path(shape: Shape, x: float, y: float, r: float) -> str:
    """Return a shape around a point, at most ``r`` wide to each side and 11 high."""
    match shape:
        case "succeeded":  # a low block
            return f"M{x - r:g} {y + 1:g}h{2 * r:g}v8h{-2 * r:g}z"
        case "failed":  # a block from top to bottom
            return f"M{x - r:g} {y - 11:g}h{2 * r:g}v22h{-2 * r:g}z"
        case "skipped":  # a ring
            return f"M{x - r:g} {y:g}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0"
        case "missed":  # a cross
            return f"M{x - r:g} {y - r:g}l{2 * r:g} {2 * r:g}m0 {-2 * r:g}l{-2 * r:g} {2 * r:g}"
        case "running":  # a triangle that points on
            return f"M{x - r:g} {y - 6:g}l{2 * r:g} 6l{-2 * r:g} 6z"
        case "due":  # a thin line
            return f"M{x:g} {y + 1:g}v8"


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%a %H:%M}"
