"""What share of the calls of each kind took at most how long."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.calls import COMMAND
from bench.figures import steps
from bench.plots.look import (
    LINES,
    legend,
    milliseconds,
    not_measured,
    picture,
    plain,
    round_numbers,
)

if TYPE_CHECKING:
    from bench.latency import Latency


def draw_latency(latencies: Sequence[Latency], path: Path, *, machine: Mapping[str, Any]) -> None:
    """Draw a line for each kind of call; what was not measured is said in the legend."""
    every = [sample for latency in latencies for sample in latency.samples] or [1.0]
    ticks = round_numbers(min(every), max(every))
    with picture(path, machine=machine) as axes:
        for latency in latencies:
            line = LINES[latency.kind]
            x, y = steps(latency.samples)
            axes.step(
                [*x[:1], *x],  # the first call ended, and before it none had
                [0.0, *y] if y else [],
                where="post",
                label=f"{line.label}: {described(latency)}",
                color=line.color,
                linestyle=line.style,
                linewidth=1.8,
            )
        axes.set_xscale("log")
        axes.set_xlim(ticks[0], ticks[-1])
        plain(axes.xaxis, ticks=ticks)
        axes.set_ylim(0, 101)
        axes.set_xlabel("milliseconds from the call to its collected answer")
        axes.set_ylabel("calls that took at most so long, %")
        axes.set_title(f"One call of `{' '.join(COMMAND)}` in a fresh container")
        legend(axes)


def described(latency: Latency) -> str:
    """Say the median, or that there is none."""
    if not latency.samples:
        return not_measured(latency.note or "no samples")
    return f"median {milliseconds(statistics.median(latency.samples))}"
