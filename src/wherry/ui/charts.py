"""Charts as points of an SVG: drawn on the server, so they need no script and no library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Values = Sequence[float | None]
Say = Callable[[float], str]

WIDTH = 600
HEIGHT = 120


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values lie between the bottom and the top, and which are written beside it."""

    part: Callable[[float], float]
    """Returns 0 for the bottom, 1 for the top."""
    marks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    kind: str
    """What it is to the style sheet: ``calls``, ``fast``, ``slow``, ``failed``."""
    paths: tuple[str, ...]
    """Pieces without a gap, each the ``points`` of a polyline."""
    dots: tuple[tuple[float, float], ...]
    """Values that have none beside them."""
    areas: tuple[str, ...] = ()
    """What lies below the pieces, each the ``points`` of a polygon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Some lines on one scale."""

    title: str
    summary: str
    """The same in words, for those who do not see it."""
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    """Heights and what they stand for."""
    is_empty: bool
    """Whether nothing happened in all of its time."""
    width: int = WIDTH
    height: int = HEIGHT


def chart(
    title: str, lines: Sequence[tuple[str, str, Values]], *, say: Say, decades: bool = False
) -> Chart:
    """Return a chart of (name, kind, values); the first line's area is filled.

    With ``decades`` every power of ten is as high as the next, and nothing is filled: what
    differs by a thousand can be seen together.
    """
    known = [v for _, _, values in lines for v in values if v is not None and v > 0]
    scale = logarithmic(known) if decades else linear(known)
    drawn = tuple(
        line(values, name=name, kind=kind, scale=scale, filled=not index and not decades)
        for index, (name, kind, values) in enumerate(lines)
    )
    return Chart(
        title=title,
        summary="; ".join(_in_words(name, values, say) for name, _, values in lines),
        lines=drawn,
        ticks=tuple(
            (_y(scale.part(mark), HEIGHT), say(mark) if mark else "0") for mark in scale.marks
        ),
        is_empty=not known,
    )


def spark(values: Values, *, width: int = 96, height: int = 24) -> Line | None:
    """Return a line without a scale, None where there is nothing to draw."""
    highest = max((value for value in values if value is not None), default=0.0)
    if highest <= 0:
        return None
    scale = Scale(lambda value: value / highest, ())
    return line(values, name="", kind="calls", scale=scale, filled=True, width=width, height=height)


def line(
    values: Values,
    *,
    name: str,
    kind: str,
    scale: Scale,
    filled: bool = False,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Line:
    """Return values as points between the left and the right edge."""
    across = width / max(len(values) - 1, 1)
    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((round(index * across, 1), _y(scale.part(value), height)))
    long = [piece for piece in pieces if len(piece) > 1]
    return Line(
        name,
        kind,
        tuple(_points(piece) for piece in long),
        tuple(piece[0] for piece in pieces if len(piece) == 1),
        tuple(_area(piece, height) for piece in long) if filled else (),
    )


def nice(highest: float) -> float:
    """Return the end of a scale: the next of 1, 2, 4, 6, 8 and 10 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(power * step for step in (1, 2, 4, 6, 8, 10, 20) if power * step >= highest)


def linear(values: Sequence[float]) -> Scale:
    """Return a scale from zero to somewhat more than the highest."""
    top = nice(max(values, default=0.0))
    return Scale(lambda value: value / top, (0.0, top / 2, top))


def logarithmic(values: Sequence[float]) -> Scale:
    """Return a scale of whole powers of ten around some values above zero."""
    low = math.floor(math.log10(min(values, default=0.1)))
    high = max(math.ceil(math.log10(max(values, default=1.0))), low + 1)
    every = -(-(high - low) // 4)
    high = low + -(-(high - low) // every) * every

    def part(value: float) -> float:
        return (math.log10(value) - low) / (high - low) if value > 0 else 0.0

    return Scale(part, tuple(10.0**power for power in range(low, high + 1, every)))


def _y(part: float, height: int) -> float:
    return round((height - 2) * (1 - min(max(part, 0.0), 1.0)) + 1, 1)


def _points(piece: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in piece)


def _area(piece: Sequence[tuple[float, float]], height: int) -> str:
    return f"{piece[0][0]:g},{height} {_points(piece)} {piece[-1][0]:g},{height}"


def _in_words(name: str, values: Values, say: Say) -> str:
    known = [value for value in values if value is not None]
    if not known or max(known) <= 0:
        return f"{name}: none"
    return f"{name}: {say(known[-1])} at last, {say(max(known))} at most"
