"""The table for people and the file for programs."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.harness import Outcome

_HEADS = ("row", "ours", "competitor", "theirs", "ratio", "quartiles", "must", "wanted", "pass")
_RIGHT = {"ours", "theirs", "ratio"}


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as an aligned table, one line each, with a line for every note."""
    text = aligned([_HEADS, *(_cells(outcome) for outcome in outcomes)], right=_RIGHT)
    for number, outcome in reversed(list(enumerate(outcomes, 1))):
        if outcome.note:
            text.insert(number + 1, f"  not measured: {outcome.note}")
    return "\n".join(text)


def aligned(lines: Sequence[Sequence[str]], *, right: Collection[str]) -> list[str]:
    """Return lines of cells, the heads first, as text; columns of numbers end at one place."""
    heads = lines[0]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if head in right else cell.ljust(width)
            for head, cell, width in zip(heads, cells, widths, strict=True)
        ).rstrip()
        for cells in lines
    ]


def _cells(outcome: Outcome) -> tuple[str, ...]:
    row, spread = outcome.row, outcome.spread
    verdict = "yes" if outcome.passed else "NO"
    return (
        row.name,
        _amount(outcome.samples.ours, row.unit),
        row.competitor,
        _amount(outcome.samples.theirs, row.unit),
        "-" if outcome.ratio is None else digits(outcome.ratio),
        "-" if spread is None else f"{digits(spread[0])}-{digits(spread[1])}",
        str(row.must),
        str(row.wanted),
        f"{verdict}, as wanted" if outcome.wish_met else verdict,
    )


def _amount(values: Sequence[float], unit: str) -> str:
    return f"{digits(statistics.median(values))} {unit}" if values else "-"


def digits(value: float) -> str:
    """Return three significant digits, never an exponent."""
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def as_json(
    outcomes: Sequence[Outcome], machine: Mapping[str, Any], *, growth: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the outcomes, and how cost grows where that was measured, as JSON values."""
    rows = [_entry(outcome) for outcome in outcomes]
    measured = {} if growth is None else {"growth": dict(growth)}
    return {"rows": rows, **measured, "machine": dict(machine)}


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
