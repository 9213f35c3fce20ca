"""When a node of a cluster counts as gone, by clocks that do not agree."""

from __future__ import annotations

import pytest

from wherry.remote.cluster.freshness import SKEW, Freshness, Sight

REFRESH = 30.0
LIMIT = 3 * REFRESH
NOON = 1_000_000.0


class Reader:
    """One that reads one file, with clocks that only move when they are told to."""

    def __init__(self) -> None:
        self.fresh = Freshness(refresh=REFRESH)
        self.now = 5000.0

    def sees(
        self, content: str, *, age: float = 0.0, stamp: float | None = None, grain: float = 0.0
    ) -> bool:
        sight = Sight(content=content.encode(), age=age, stamp=stamp, grain=grain)
        return self.fresh.is_live("a.json", sight, now=self.now, wall=NOON + self.now - 5000)


def test_a_file_lives_for_three_refreshes_and_not_longer() -> None:
    assert Reader().sees("1", age=LIMIT, stamp=NOON)
    assert not Reader().sees("1", age=LIMIT + 0.1, stamp=NOON)


def test_the_own_time_of_a_file_counts_too_as_in_a_copy_that_was_put_back() -> None:
    assert not Reader().sees("1", age=0, stamp=NOON - 3600)


def test_a_file_without_a_time_of_its_own_goes_by_its_modification() -> None:
    assert Reader().sees("1", age=LIMIT)
    assert not Reader().sees("1", age=LIMIT + 1)


@pytest.mark.parametrize("skew", [-SKEW, SKEW, 86400.0])
def test_a_clock_that_is_ahead_or_a_little_behind_changes_nothing(skew: float) -> None:
    assert Reader().sees("1", age=5, stamp=NOON + skew)


def test_a_node_whose_clock_is_hours_behind_lives_once_it_is_seen_to_move() -> None:
    reader = Reader()
    assert not reader.sees("1", stamp=NOON - 7200)
    reader.now += REFRESH
    assert reader.sees("2", stamp=NOON - 7200 + REFRESH)
    reader.now += LIMIT
    assert reader.sees("2", stamp=NOON - 7200 + REFRESH, age=LIMIT)
    reader.now += 1
    assert not reader.sees("2", stamp=NOON - 7200 + REFRESH, age=LIMIT)


def test_a_file_that_stands_still_is_stale_even_when_every_clock_says_otherwise() -> None:
    reader = Reader()
    assert reader.sees("1", age=-500, stamp=NOON + 86400)  # all from the future
    reader.now += LIMIT
    assert reader.sees("1", age=-500, stamp=NOON + 86400)
    reader.now += 1
    assert not reader.sees("1", age=-500, stamp=NOON + 86400)


def test_a_node_that_comes_back_lives_again_at_once() -> None:
    reader = Reader()
    assert reader.sees("1", stamp=NOON)
    reader.now += 10 * LIMIT
    assert not reader.sees("1", age=10 * LIMIT, stamp=NOON)
    assert reader.sees("2", age=0, stamp=NOON + 10 * LIMIT)


def test_a_place_that_tells_whole_seconds_is_given_them() -> None:
    assert Reader().sees("1", age=LIMIT + 1.9, stamp=NOON, grain=2.0)
    assert not Reader().sees("1", age=LIMIT + 2.1, stamp=NOON, grain=2.0)


def test_a_file_that_is_gone_is_forgotten_and_is_new_when_it_comes_again() -> None:
    reader = Reader()
    assert reader.sees("1", stamp=NOON)
    reader.fresh.forget_others(set())
    reader.now += LIMIT + 1
    assert reader.sees("1", stamp=NOON + LIMIT)
