from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from bench.harness import (
    FEWEST,
    Bound,
    Figure,
    Measure,
    Missing,
    Outcome,
    Row,
    Samples,
    Sides,
    take_turns,
)
from bench.report import as_json, as_table
from bench.running import run_row


def scripted(name: str, figures: Iterable[float], log: list[str]) -> Measure:
    values = iter(figures)

    async def measure() -> float:
        log.append(name)
        return next(values)

    return measure


def row(
    kind: Figure = "theirs/ours",
    *,
    sides: Callable[[None], Sides] = lambda _: Sides(scripted("", [], [])),
) -> Row[None]:
    @asynccontextmanager
    async def enter(place: None) -> AsyncIterator[Sides]:
        yield sides(place)

    return Row(
        name="a call",
        competitor="the slow way",
        unit="ms",
        figure=kind,
        must=Bound(">=", 2),
        wanted=Bound(">=", 4),
        sides=enter,
        runs=3,
        warm_up=1,
    )


async def test_the_two_sides_take_turns_and_the_warm_up_is_not_counted() -> None:
    log: list[str] = []
    sides = Sides(scripted("A", [99, 1, 2], log), scripted("B", [99, 10, 20], log))
    samples = await take_turns(sides, runs=2, warm_up=1)
    assert log == ["A", "B", "A", "B", "A", "B"]
    assert samples == Samples((1, 2), (10, 20))


async def test_a_slow_row_ends_after_its_time_but_not_before_five_turns() -> None:
    clock = iter(range(0, 1000, 50))
    sides = Sides(scripted("A", [1.0] * 50, []))
    samples = await take_turns(
        sides, runs=50, warm_up=0, clock=lambda: next(clock), most_seconds=40
    )
    assert len(samples.ours) == FEWEST


@pytest.mark.parametrize(
    ("kind", "ratio"), [("theirs/ours", 5.0), ("ours/theirs", 0.2), ("ours", 2.0)]
)
def test_the_figure_is_made_of_medians(kind: Figure, ratio: float) -> None:
    outcome = Outcome(row=row(kind), samples=Samples((1, 2, 90), (10, 9, 11)))
    assert outcome.ratio == ratio


def test_the_spread_is_that_of_the_turns() -> None:
    outcome = Outcome(row=row("ours/theirs"), samples=Samples((1, 2, 3), (1, 1, 1)))
    assert outcome.spread == (1.5, 2.5)


def test_bounds_hold_in_their_direction() -> None:
    assert Bound(">=", 20).met(20)
    assert not Bound(">=", 20).met(19.9)
    assert Bound("<=", 1.6).met(1.6)
    assert not Bound("<=", 1.6).met(1.7)


def test_a_row_without_its_competitor_does_not_pass_even_if_it_was_measured() -> None:
    outcome = Outcome(row=row(), samples=Samples((1.0, 1.0)), note="no competitor")
    assert outcome.ratio is None
    assert not outcome.passed


async def test_a_missing_competitor_is_said_by_name() -> None:
    def no_docker(_: None) -> Sides:
        raise Missing("docker is not installed")

    outcome = await run_row(row(sides=no_docker), None)
    assert outcome.note == "docker is not installed"
    assert "docker is not installed" in as_table([outcome])
    assert not outcome.passed


async def test_a_row_that_breaks_does_not_stop_the_others() -> None:
    def broken(_: None) -> Sides:
        raise RuntimeError("the output is not the input")

    outcome = await run_row(row(sides=broken), None)
    assert "the output is not the input" in outcome.note


async def test_results_carry_what_the_table_shows() -> None:
    def fast(_: None) -> Sides:
        return Sides(scripted("A", [2.0] * 9, []), scripted("B", [8.0] * 9, []))

    outcome = await run_row(row(sides=fast), None)
    [entry] = json.loads(json.dumps(as_json([outcome], {"cores": 2}, growth=None)))["rows"]
    assert entry["name"] == "a call"
    assert entry["competitor"] == "the slow way"
    assert (entry["ours"], entry["theirs"], entry["ratio"]) == (2.0, 8.0, 4.0)
    assert (entry["must"], entry["wanted"]) == (">= 2", ">= 4")
    assert entry["pass"] is True
    assert entry["runs"] == 3


async def test_the_table_is_aligned_and_says_what_passed() -> None:
    def slow(_: None) -> Sides:
        return Sides(scripted("A", [8.0] * 9, []), scripted("B", [8.0] * 9, []))

    lines = as_table([await run_row(row(sides=slow), None)]).splitlines()
    assert len({len(line.rstrip()) for line in lines[1:2]}) == 1
    assert lines[0].startswith("row")
    assert "NO" in lines[-1]
    assert lines[-1].index("a call") == lines[0].index("row")
