"""Drawing whatever was recorded."""

from __future__ import annotations

from pathlib import Path

from bench.harness import Missing
from bench.plots.latency import draw_latency
from bench.plots.throughput import draw_throughput
from bench.recorded import LATENCY, THROUGHPUT, read_latencies, read_points


def draw_recorded(samples: Path, into: Path) -> list[Path]:
    """Draw a picture of each record in ``samples`` and return their paths.

    Raises :class:`Missing` when there is no record, ModuleNotFoundError without matplotlib.
    """
    drawn = []
    if (samples / LATENCY).exists():
        latencies, machine = read_latencies(samples)
        drawn.append(into / "latency.svg")
        draw_latency(latencies, drawn[-1], machine=machine)
    if (samples / THROUGHPUT).exists():
        points, machine = read_points(samples)
        drawn.append(into / "throughput.svg")
        draw_throughput(points, drawn[-1], machine=machine)
    if not drawn:
        raise Missing(f"nothing is recorded in {samples}: run `make bench` first")
    return drawn
