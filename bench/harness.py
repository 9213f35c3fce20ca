"""A row of the benchmark: two sides measured in turns, and what is made of the figures."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

Place = TypeVar("Place")
Measure = Callable[[], Awaitable[float]]
"""Do the thing once and return its figure, in the row's unit."""

Figure = Literal["theirs/ours", "ours/theirs", "ours"]
MIB = 1024 * 1024
MOST_SECONDS = 90.0
FEWEST = 5


class Missing(Exception):
    """A side of a row cannot be measured on this machine; the message says what is not there."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must not fall below, or rise above."""

    sign: Literal[">=", "<="]
    value: float

    def met(self, figure: float) -> bool:
        return figure >= self.value if self.sign == ">=" else figure <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Sides:
    """The two things that are measured in turns; ``theirs`` is None for a row without rival."""

    ours: Measure
    theirs: Measure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Generic[Place]):
    """One line of the table."""

    name: str
    competitor: str
    unit: str
    figure: Figure
    """What the bounds are about: a ratio of the two medians, or our median itself."""
    must: Bound
    wanted: Bound
    sides: Callable[[Place], AbstractAsyncContextManager[Sides]]
    runs: int = 15
    warm_up: int = 2
    """Turns that are not counted."""
    calm: float = 0.0
    """Seconds before each measurement, so that nobody pays for what the other one left to do."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The figures of both sides, turn by turn; no ``theirs`` without a rival."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one row."""

    row: Row[Any]
    samples: Samples = Samples(())
    note: str = ""
    """Why there is no figure."""

    @property
    def ratio(self) -> float | None:
        """The figure the bounds are about, None when a side was not measured."""
        return figure(self.row.figure, self.samples)

    @property
    def spread(self) -> tuple[float, float] | None:
        """First and third quartile of the figure, turn by turn."""
        if self.ratio is None:
            return None
        theirs = self.samples.theirs or (0.0,) * len(self.samples.ours)
        pairs = zip(self.samples.ours, theirs, strict=True)
        return quartiles([combine(self.row.figure, ours, rival) for ours, rival in pairs])

    @property
    def passed(self) -> bool:
        return self.ratio is not None and self.row.must.met(self.ratio)

    @property
    def wish_met(self) -> bool:
        return self.ratio is not None and self.row.wanted.met(self.ratio)


def combine(kind: Figure, ours: float, theirs: float) -> float:
    match kind:
        case "ours":
            return ours
        case "ours/theirs":
            return ours / theirs
        case "theirs/ours":
            return theirs / ours


def figure(kind: Figure, samples: Samples) -> float | None:
    """Return the ratio of the medians, or our median; None when a side has no figures."""
    if not samples.ours or (kind != "ours" and not samples.theirs):
        return None
    theirs = statistics.median(samples.theirs) if samples.theirs else 0.0
    return combine(kind, statistics.median(samples.ours), theirs)


def quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


async def take_turns(
    sides: Sides,
    *,
    runs: int,
    warm_up: int,
    calm: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    most_seconds: float = MOST_SECONDS,
) -> Samples:
    """Measure ours, theirs, ours, theirs, …; fewer than ``runs`` turns once time is up."""
    for _ in range(warm_up):
        await _turn(sides, calm)
    ours: list[float] = []
    theirs: list[float] = []
    deadline = clock() + most_seconds
    while len(ours) < runs and (len(ours) < FEWEST or clock() < deadline):
        mine, rival = await _turn(sides, calm)
        ours.append(mine)
        if rival is not None:
            theirs.append(rival)
    return Samples(tuple(ours), tuple(theirs))


async def _turn(sides: Sides, calm: float) -> tuple[float, float | None]:
    await asyncio.sleep(calm)
    ours = await sides.ours()
    await asyncio.sleep(calm)
    return ours, None if sides.theirs is None else await sides.theirs()
