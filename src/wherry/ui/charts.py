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


def chart(title: str, lines: Sequence[tuple[str, str, Values]], *, say: Say) -> Chart:
    """Return a chart of (name, kind, values); the first line's area is filled."""
    highest = max((v for _, _, values in lines for v in values if v is not None), default=0.0)
    top = nice(highest)
    drawn = tuple(
        line(values, name=name, kind=kind, top=top, filled=not index)
        for index, (name, kind, values) in enumerate(lines)
    )
    marks = (0.0, top / 2, top)
    return Chart(
        title=title,
        summary="; ".join(_in_words(name, values, say) for name, _, values in lines),
        lines=drawn,
        ticks=tuple((_y(mark, top, HEIGHT), say(mark) if mark else "0") for mark in marks),
        is_empty=highest <= 0,
    )


def spark(values: Values, *, width: int = 96, height: int = 24) -> Line | None:
    """Return a line without a scale, None where there is nothing to draw."""
    highest = max((value for value in values if value is not None), default=0.0)
    if highest <= 0:
        return None
    return line(values, name="", kind="calls", top=highest, filled=True, width=width, height=height)


def line(
    values: Values,
    *,
    name: str,
    kind: str,
    top: float,
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
            pieces[-1].append((round(index * across, 1), _y(value, top, height)))
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


def _y(value: float, top: float, height: int) -> float:
    return round((height - 2) * (1 - min(value / top, 1.0)) + 1, 1)


def _points(piece: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in piece)


def _area(piece: Sequence[tuple[float, float]], height: int) -> str:
    return f"{piece[0][0]:g},{height} {_points(piece)} {piece[-1][0]:g},{height}"


def _in_words(name: str, values: Values, say: Say) -> str:
    known = [value for value in values if value is not None]
    if not known or max(known) <= 0:
        return f"{name}: none"
    return f"{name}: {say(known[-1])} at last, {say(max(known))} at most"
