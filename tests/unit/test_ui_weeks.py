"""A week of runs as shapes: which is seen, where, and what it says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import permutations

import pytest

from wherry.triggers.cron.rows import Tally
from wherry.ui.scheduled import MARKS, mark_of
from wherry.ui.weeks import DAY, days_of, in_words, legend, strip_of, totals, week_start

NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC).timestamp()
SINCE = week_start(NOW)


def tally(status: str, slot: int, count: int = 1) -> Tally:
    return Tally("nightly", status, slot, count)  # type: ignore[arg-type]


def test_a_week_begins_six_days_before_today() -> None:
    assert datetime.fromtimestamp(SINCE, UTC) == datetime(2026, 11, 16, tzinfo=UTC)


def test_every_end_has_a_shape_of_its_own_not_only_a_colour() -> None:
    outlines = {cell.shape: "".join(filter(str.isalpha, cell.path)) for cell in legend()}
    assert set(outlines) == {*MARKS, "due"}
    heights = {cell.shape: cell.path.split("v")[-1] for cell in legend()}
    for one, other in permutations(outlines, 2):
        assert (outlines[one], heights[one]) != (outlines[other], heights[other])


def test_what_was_timed_out_has_failed_and_what_waits_goes_on() -> None:
    assert [mark_of(each) for each in ("timed out", "waiting", "missed", "something new")] == [
        "failed", "running", "missed", "running"]  # fmt: skip


def test_the_worst_of_one_place_is_seen_and_all_of_it_is_said() -> None:
    found = [tally("succeeded", 0, 9), tally("timed out", 0), tally("missed", 0, 3)]
    (cell,) = strip_of(found, since=SINCE, step=7200, now=NOW).cells
    assert cell.shape == "failed"
    assert cell.said == "Mon 00:00: 9 succeeded, 1 failed, 3 missed"


def test_a_strip_says_everything_in_words_and_shows_where_now_is() -> None:
    found = [tally("succeeded", 3), tally("skipped", 80), tally("succeeded", 83)]
    strip = strip_of(found, since=SINCE, step=7200, now=NOW)
    assert strip.said == "2 succeeded, 1 skipped"
    assert strip.width == 84 * 4
    assert strip.now == pytest.approx((6 * 24 + 15.5) / 2 * 4)
    assert strip.days == tuple(12 * 4 * day for day in range(1, 7))
    assert strip_of([], since=SINCE, step=7200, now=NOW).said == "no runs"


def test_days_hold_their_own_runs_and_the_last_one_what_is_to_come() -> None:
    found = [tally("succeeded", 0), tally("failed", 47), tally("succeeded", 48)]
    coming = [NOW + 3600, NOW + 7200, NOW + DAY]
    days = days_of(found, coming=coming, since=SINCE, step=1800, now=NOW)
    assert [in_words(day.tally) for day in days[:3]] == [
        "1 succeeded, 1 failed", "1 succeeded", "no runs"]  # fmt: skip
    assert [cell.shape for cell in days[0].strip.cells] == ["succeeded", "failed"]
    assert days[-1].strip.said == "2 due"
    assert [day.strip.now is None for day in days] == [True] * 6 + [False]


def test_totals_count_missed_ticks_each() -> None:
    found = [tally("missed", 1, 40), tally("succeeded", 1), tally("timed out", 2)]
    assert totals(found) == Counter({"missed": 40, "succeeded": 1, "failed": 1})
