"""The growth of cost as tables for people and as JSON values."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.figures import percentile
from bench.report import aligned, digits

if TYPE_CHECKING:
    from bench.growth.images import Sized
    from bench.growth.waiting import Step
    from bench.throughput import Point

CALLERS = (1, 4, 16, 64)
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Growth:
    """What was measured of it."""

    waiting: Sequence[Step] = ()
    images: Sequence[Sized] = ()
    points: Sequence[Point] = ()


def as_tables(growth: Growth) -> str:
    """Return a table for each thing that grows, with what was left out and why."""
    tables = [
        ("Ready containers (created), while they wait", waiting_table(growth.waiting)),
        ("Cold call on an image of so many files", images_table(growth.images)),
        ("Calls from so many callers at a time", callers_table(growth.points)),
    ]
    blocks = ["\n".join([title, *lines]) for title, lines in tables if lines]
    return "\n\n".join(blocks)


def as_json(growth: Growth) -> dict[str, Any]:
    return {
        "waiting": [asdict(step) | {"call": step.call} for step in growth.waiting],
        "images": [
            asdict(sized) | {"median": sized.median, "p99": sized.p99} for sized in growth.images
        ],
        "callers": [_of_callers(point) for point in growth.points if point.callers in CALLERS],
    }


def waiting_table(steps: Sequence[Step]) -> list[str]:
    if not steps:
        return []
    heads = ("ready", "made in", "PSS each", "RSS each", "machine each", "caller RSS", "call p50")
    lines = [heads, *(_waiting_cells(step) for step in steps)]
    notes = [f"  {step.count} ready: {step.note}" for step in steps if step.note]
    return [*aligned(lines, right=heads), *notes]


def _waiting_cells(step: Step) -> tuple[str, ...]:
    return (
        str(step.count),
        _in("s", step.seconds),
        *(_in("MB", size, per=_MB) for size in (step.pss, step.rss, step.machine, step.caller)),
        _in("ms", step.call),
    )


def images_table(images: Sequence[Sized]) -> list[str]:
    if not images:
        return []
    heads = ("files", "imported in", "call p50", "call p99")
    cells = (
        (
            str(sized.files),
            _in("s", sized.importing),
            _in("ms", sized.median),
            _in("ms", sized.p99),
        )
        for sized in images
    )
    return aligned([heads, *cells], right=heads)


def callers_table(points: Sequence[Point]) -> list[str]:
    shown = [point for point in points if point.callers in CALLERS]
    if not shown:
        return []
    heads = ("container", "callers", "per second", "p50", "p99", "found ready")
    cells = [
        (
            point.kind,
            str(point.callers),
            digits(point.per_second),
            _in("ms", statistics.median(point.samples)),
            _in("ms", percentile(point.samples, 99)),
            "-" if point.hits is None else f"{100 * point.hits / len(point.samples):.0f} %",
        )
        for point in shown
        if point.samples
    ]
    notes = dict.fromkeys(f"  {point.kind}: {point.note}" for point in shown if point.note)
    return [*aligned([heads, *cells], right=heads[1:]), *notes]


def _of_callers(point: Point) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": point.kind, "callers": point.callers, "note": point.note}
    if point.samples:
        entry |= {
            "per_second": point.per_second,
            "p50": statistics.median(point.samples),
            "p99": percentile(point.samples, 99),
            "hits": point.hits,
            "calls": len(point.samples),
        }
    return entry


def _in(unit: str, value: float | None, *, per: float = 1) -> str:
    return "-" if value is None else f"{digits(value / per)} {unit}"
