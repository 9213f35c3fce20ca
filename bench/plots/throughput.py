"""Containers per second against the number of callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.plots.look import LINES, legend, not_measured, picture, plain, round_numbers
from bench.throughput import KINDS, Point


def draw_throughput(points: Sequence[Point], path: Path, *, machine: Mapping[str, Any]) -> None:
    """Draw a line for each kind of container; what was not measured is said in the legend."""
    measured = [point for point in points if point.samples]
    rates = [point.per_second for point in measured] or [1.0]
    callers = sorted({point.callers for point in points}) or [1]
    with picture(path, machine=machine) as axes:
        for kind in KINDS:
            line = LINES[kind]
            mine = [point for point in measured if point.kind == kind]
            axes.plot(
                [point.callers for point in mine],
                [point.per_second for point in mine],
                label=line.label + described(kind, points),
                color=line.color,
                linestyle=line.style,
                marker=line.marker,
                markersize=5,
                linewidth=1.8,
            )
        axes.set_xscale("log", base=2)
        axes.set_xlim(callers[0] / 1.15, callers[-1] * 1.15)
        axes.set_yscale("log")
        ticks = round_numbers(min(rates), max(rates))
        axes.set_ylim(ticks[0], ticks[-1])
        plain(axes.xaxis, ticks=[float(count) for count in callers])
        plain(axes.yaxis, ticks=ticks)
        axes.set_xlabel("callers at a time")
        axes.set_ylabel("containers per second")
        axes.set_title("Fresh containers per second, one call in each, sustained")
        legend(axes)


def described(kind: str, points: Sequence[Point]) -> str:
    """Say why a kind has no line; nothing when it has one."""
    mine = [point for point in points if point.kind == kind]
    if any(point.samples for point in mine):
        return ""
    note = next((point.note for point in mine if point.note), "no samples")
    return f": {not_measured(note)}"
