from __future__ import annotations

import pytest

from wherry.ui import formats
from wherry.ui.charts import Chart, chart, nice, spark


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "\N{EN DASH}"),
        (0.00042, "0.42 ms"),
        (0.0123, "12 ms"),
        (0.2, "200 ms"),
        (0.99999, "1 s"),
        (1.54, "1.5 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (185, "3 min 5 s"),
        (3600 * 5 + 60, "5 h 1 min"),
        (86400 * 3, "3 days"),
    ],
)
def test_durations_are_short(value: float | None, said: str) -> None:
    assert formats.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (0.0166, "0.017"), (1.25, "1.2"), (43.92, "43.9"), (340.2, "340")]
)
def test_rates_are_short(value: float, said: str) -> None:
    assert formats.rate(value) == said


def test_a_failure_in_many_calls_is_not_said_to_be_none() -> None:
    assert formats.percent(0.00001) == "0.1 %"
    assert formats.percent(0) == "0 %"
    assert formats.percent(0.173) == "17 %"


def test_times_are_said_as_they_are_passed() -> None:
    assert formats.ago(99.5, 100) == "now"
    assert formats.ago(88, 100) == "12 s ago"
    assert formats.ago(220, 100) == "in 2 minutes"
    assert formats.ago(100, 100 + 7300) == "2 hours ago"


def test_control_characters_are_shown_and_do_nothing() -> None:
    assert formats.visible("a\x1b[31m\0b\r\nc\td") == "a\ufffd[31m\ufffdb\nc\td"
    assert formats.text_of(b"\xff\x9b1m") == "\ufffd\ufffd1m"


def test_text_cannot_turn_the_direction_of_writing() -> None:
    assert formats.visible("gpj.\u202eexe") == "gpj.\\u202eexe"


def drawn(*values: float | None, decades: bool = False) -> Chart:
    return chart("Calls", [("calls", "calls", values)], say=formats.rate, decades=decades)


def test_a_chart_without_calls_is_empty() -> None:
    assert drawn(0.0, 0.0).is_empty
    assert drawn(None, None).is_empty
    assert drawn(None, decades=True).summary == "calls: none"


def test_a_chart_says_in_words_what_it_shows() -> None:
    assert drawn(1.0, 7.0, 2.0).summary == "calls: 2 at last, 7 at most"


def test_a_gap_parts_a_line_and_a_lone_value_is_a_dot() -> None:
    (found,) = drawn(1.0, 2.0, None, 3.0, None).lines
    assert len(found.paths) == 1
    assert len(found.dots) == 1


def test_a_scale_ends_where_people_expect_it() -> None:
    assert [nice(value) for value in (0, 0.9, 1, 3, 77, 101)] == [1, 1, 1, 4, 80, 200]
    assert [text for _, text in drawn(77.0).ticks] == ["0", "40", "80"]


def test_decades_show_fast_and_slow_together() -> None:
    found = drawn(0.002, 3.0, decades=True)
    assert [text for _, text in found.ticks] == ["0.001", "0.01", "0.1", "1", "10"]
    heights = [y for y, _ in found.ticks]
    assert heights == sorted(heights, reverse=True)


def test_points_stay_inside_of_their_picture() -> None:
    line = spark((0.0, 5.0, 2.0))
    assert line is not None
    points = [tuple(map(float, each.split(","))) for each in line.paths[0].split()]
    assert all(0 <= x <= 96 and 0 <= y <= 24 for x, y in points)
    assert spark((0.0, 0.0)) is None
