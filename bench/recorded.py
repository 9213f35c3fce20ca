"""Raw samples as files, so that the pictures can be drawn again without measuring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.latency import Latency
from bench.throughput import Point

LATENCY, THROUGHPUT = "latency.json", "throughput.json"


def write_latencies(
    directory: Path, latencies: Sequence[Latency], *, machine: Mapping[str, Any]
) -> None:
    _write(directory / LATENCY, "kinds", latencies, machine)


def write_points(directory: Path, points: Sequence[Point], *, machine: Mapping[str, Any]) -> None:
    _write(directory / THROUGHPUT, "points", points, machine)


def read_latencies(directory: Path) -> tuple[tuple[Latency, ...], Mapping[str, Any]]:
    """Return what was written and its machine; raises FileNotFoundError before any run."""
    found = json.loads((directory / LATENCY).read_text())
    kinds = (Latency(**kind | {"samples": tuple(kind["samples"])}) for kind in found["kinds"])
    return tuple(kinds), found["machine"]


def read_points(directory: Path) -> tuple[tuple[Point, ...], Mapping[str, Any]]:
    """Return what was written and its machine; raises FileNotFoundError before any run."""
    found = json.loads((directory / THROUGHPUT).read_text())
    points = (Point(**point | {"samples": tuple(point["samples"])}) for point in found["points"])
    return tuple(points), found["machine"]


def _write(path: Path, name: str, values: Sequence[Any], machine: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"unit": "ms", name: [asdict(value) for value in values], "machine": dict(machine)}
    path.write_text(json.dumps(record) + "\n")
