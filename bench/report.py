"""The table for people and the file for programs."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.harness import Outcome

_HEADS = ("row", "ours", "competitor", "theirs", "ratio", "quartiles", "must", "wanted", "pass")
_RIGHT = {"ours", "theirs", "ratio"}


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as an aligned table, one line each, with a line for every note."""
    lines = [_HEADS, *(_cells(outcome) for outcome in outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    text = [_aligned(line, widths) for line in lines]
    for number, outcome in reversed(list(enumerate(outcomes, 1))):
        if outcome.note:
            text.insert(number + 1, f"  not measured: {outcome.note}")
    return "\n".join(text)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    columns = zip(_HEADS, cells, widths, strict=True)
    padded = [
        cell.rjust(width) if head in _RIGHT else cell.ljust(width) for head, cell, width in columns
    ]
    return "  ".join(padded).rstrip()


def _cells(outcome: Outcome) -> tuple[str, ...]:
    row, spread = outcome.row, outcome.spread
    verdict = "yes" if outcome.passed else "NO"
    return (
        row.name,
        _amount(outcome.samples.ours, row.unit),
        row.competitor,
        _amount(outcome.samples.theirs, row.unit),
        "-" if outcome.ratio is None else _digits(outcome.ratio),
        "-" if spread is None else f"{_digits(spread[0])}-{_digits(spread[1])}",
        str(row.must),
        str(row.wanted),
        f"{verdict}, as wanted" if outcome.wish_met else verdict,
    )


def _amount(values: Sequence[float], unit: str) -> str:
    return f"{_digits(statistics.median(values))} {unit}" if values else "-"


def _digits(value: float) -> str:
    """Return three significant digits, never an exponent."""
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def as_json(outcomes: Sequence[Outcome], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcomes as JSON values."""
    return {"rows": [_entry(outcome) for outcome in outcomes], "machine": dict(machine)}


def _entry(outcome: Outcome) -> dict[str, Any]:
    row, samples = outcome.row, outcome.samples
    return {
        "name": row.name,
        "ours": statistics.median(samples.ours) if samples.ours else None,
        "theirs": statistics.median(samples.theirs) if samples.theirs else None,
        "unit": row.unit,
        "competitor": row.competitor,
        "figure": row.figure,
        "ratio": outcome.ratio,
        "spread": outcome.spread,
        "must": str(row.must),
        "wanted": str(row.wanted),
        "pass": outcome.passed,
        "runs": len(samples.ours),
        "samples": {"ours": samples.ours, "theirs": samples.theirs},
        "note": outcome.note,
    }


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": _line("/proc/cpuinfo", "model name"),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "load": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
    }


def _line(path: str, name: str) -> str | None:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return None
