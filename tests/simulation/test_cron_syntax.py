"""When schedules run, against a table made minute by minute from the zones alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from wherry.errors import UsageError
from wherry.triggers.cron.syntax import Every, Reboot, parse_when, preview

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
"""Both hemispheres, half an hour of summer, and one whose summer ends for a month."""
YEAR = 2026
Match = Callable[[datetime], bool]

BY_THE_CLOCK: dict[str, Match] = {
    "30 2 * * *": lambda t: (t.hour, t.minute) == (2, 30),
    "0 3 * * *": lambda t: (t.hour, t.minute) == (3, 0),
    "15 1-3 * * MON-FRI,SUN": lambda t: t.minute == 15 and t.hour in (1, 2, 3)
    and t.weekday() != 5,
    "*/10 2 * * *": lambda t: t.hour == 2 and t.minute % 10 == 0,
    "0 */2 * * *": lambda t: t.minute == 0 and t.hour % 2 == 0,
    "0 2 1 JAN,APR,jul,Oct *": lambda t: (t.hour, t.minute, t.day) == (2, 0, 1)
    and t.month in (1, 4, 7, 10),
    "5 4 13 * 5": lambda t: (t.hour, t.minute) == (4, 5) and (t.day == 13 or t.weekday() == 4),
    "0 30 2 * * 7": lambda t: (t.hour, t.minute) == (2, 30) and t.weekday() == 6,
    "@daily": lambda t: (t.hour, t.minute) == (0, 0),
    "@midnight": lambda t: (t.hour, t.minute) == (0, 0),
    "@weekly": lambda t: (t.hour, t.minute) == (0, 0) and t.weekday() == 6,
    "@monthly": lambda t: (t.hour, t.minute, t.day) == (0, 0, 1),
    "@yearly": lambda t: (t.hour, t.minute, t.day, t.month) == (0, 0, 1, 1),
}  # fmt: skip
BY_REAL_TIME: dict[str, Match] = {
    "*/15 * * * *": lambda t: t.minute % 15 == 0,
    "30 * * * *": lambda t: t.minute == 30,
    "@hourly": lambda t: t.minute == 0,
    "7 * 25 10 *": lambda t: (t.minute, t.day, t.month) == (7, 25, 10),
}


@cache
def minutes(zone: str) -> list[tuple[int, datetime, list[datetime], bool]]:
    """Return every minute of real time in the year: what the clocks on the wall show, what they
    left out since the minute before, and whether they showed it before."""
    start = int(datetime(YEAR, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
    info, minute = ZoneInfo(zone), timedelta(minutes=1)
    found: list[tuple[int, datetime, list[datetime], bool]] = []
    latest = datetime.fromtimestamp(start, info).replace(tzinfo=None) - minute
    for moment in range(start, end, 60):
        local = datetime.fromtimestamp(moment, info).replace(tzinfo=None)
        gap: list[datetime] = []
        while latest + (len(gap) + 1) * minute < local:
            gap.append(latest + (len(gap) + 1) * minute)
        found.append((moment, local, gap, local <= latest))
        latest = max(latest, local)
    return found


def expected(zone: str, matches: Match, *, by_the_clock: bool) -> list[int]:
    """Return the ticks of the year: no cron library, no folds, only clocks that are read."""
    if not by_the_clock:
        return [moment for moment, local, _, _ in minutes(zone) if matches(local)]
    return [
        moment
        for moment, local, skipped, repeated in minutes(zone)
        if any(map(matches, skipped)) or (not repeated and matches(local))
    ]


@cache
def ticks(text: str, zone: str) -> list[int]:
    when = parse_when(text, timezone=zone)
    moment = datetime(YEAR, 1, 1, tzinfo=UTC).timestamp() - 0.5
    end = datetime(YEAR + 1, 1, 1, tzinfo=UTC).timestamp()
    found: list[int] = []
    while (tick := when.after(moment)) is not None and tick < end:
        found.append(int(tick))
        moment = tick
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", BY_THE_CLOCK)
def test_a_time_of_day_runs_once_on_each_of_its_days(text: str, zone: str) -> None:
    assert ticks(text, zone) == expected(zone, BY_THE_CLOCK[text], by_the_clock=True)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", BY_REAL_TIME)
def test_what_runs_every_hour_goes_by_real_time(text: str, zone: str) -> None:
    assert ticks(text, zone) == expected(zone, BY_REAL_TIME[text], by_the_clock=False)


@pytest.mark.parametrize("zone", ZONES)
def test_every_tick_is_found_from_every_moment_around_a_change_of_clocks(zone: str) -> None:
    for text in ("30 2 * * *", "*/20 * * * *", "*/10 2 * * *", "0 3 * * *"):
        when, all_ticks = parse_when(text, timezone=zone), ticks(text, zone)
        for month, day in ((3, 29), (3, 8), (4, 5), (10, 25), (11, 1), (10, 4), (2, 15)):
            start = int(datetime(YEAR, month, day, tzinfo=UTC).timestamp()) - 86400
            for moment in range(start, start + 2 * 86400, 607):
                assert when.after(moment) == all_ticks[bisect_right(all_ticks, moment)]


def test_the_library_agrees_where_its_own_rules_are_those_of_the_contract() -> None:
    for zone in ZONES:
        for text in ("30 2 * * *", "0 3 * * *", "5 4 13 * 5"):
            found = []
            for each in CronSim(text, datetime(YEAR, 1, 1, tzinfo=UTC).astimezone(ZoneInfo(zone))):
                if each.astimezone(UTC).year > YEAR:
                    break
                found.append(int(each.timestamp()))
            assert set(ticks(text, zone)) ^ set(found) <= {ticks(text, zone)[0]}


def shown(text: str, *, after: str, count: int, zone: str | None = None) -> list[str]:
    start = datetime.fromisoformat(after).timestamp()
    found = preview(parse_when(text, timezone=zone), after=start, count=count)
    return [datetime.fromtimestamp(tick, UTC).isoformat()[:19] for tick in found]


def test_a_skipped_time_runs_right_after_the_gap_and_a_repeated_one_once() -> None:
    assert shown("CRON_TZ=Europe/Paris 30 2 * * *", after="2026-03-28T12:00Z", count=2) == [
        "2026-03-29T01:00:00", "2026-03-30T00:30:00"]  # fmt: skip
    assert shown("30 2 * * *", zone="Europe/Paris", after="2026-10-24T12:00Z", count=2) == [
        "2026-10-25T00:30:00", "2026-10-26T01:30:00"]  # fmt: skip


def test_six_fields_have_the_second_first_and_five_never_do() -> None:
    assert shown("*/20 0 0 * * *", after="2026-01-01T00:00Z", count=3) == [
        "2026-01-01T00:00:20", "2026-01-01T00:00:40", "2026-01-02T00:00:00"]  # fmt: skip
    assert shown("5 4 * * *", after="2026-01-01T00:00Z", count=1) == ["2026-01-01T04:05:00"]


def test_every_counts_from_its_anchor() -> None:
    when = parse_when("@every 1h30m", anchor=1000.25)
    assert when == Every(5400, 1000.25)
    assert preview(when, after=0, count=2) == [6400.25, 11800.25]
    assert preview(when, after=6400.25, count=1) == [11800.25]
    assert parse_when("@reboot") == Reboot()
    assert preview(parse_when("@reboot"), after=0, count=3) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0 0 * * * 2026", "has 7 fields; write five"),
        ("* * * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("60 * * * *", "'60' is nothing that the field minute can be"),
        ("* 24 * * *", "'24' is nothing that the field hour"),
        ("* * * JANN *", "'JANN' is nothing that the field month"),
        ("* * * * MO", "'MO' is nothing that the field day of the week"),
        ("70 * * * * *", "field second"),
        ("*/0 * * * *", "field minute"),
        ("5-1 * * * *", "field minute"),
        ("0 0 30 2 *", "never comes"),
        ("@evry 5m", "did you mean '@every'"),
        ("@every", "no duration"),
        ("@every 10ms", "one second is the least"),
        ("@daily 5", "there is no '@daily 5'"),
        ("CRON_TZ=Mars/Base 0 0 * * *", "there is no 'Mars/Base'"),
        ("CRON_TZ=../../etc/passwd 0 0 * * *", "there is no"),
        ("CRON_TZ= 0 0 * * *", "there is no ''"),
        ("L-3 0 * * *", "field minute"),
        ("0 0 L/2/3 * *#", "field"),
        ("٣ * * * *", "field minute"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_by_its_field(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=r"(schedule|timezone): ") as caught:
        parse_when(text)
    assert says in str(caught.value)


def test_two_different_zones_are_refused() -> None:
    with pytest.raises(UsageError, match="is not 'Asia/Tokyo'"):
        parse_when("TZ=Asia/Tokyo 0 0 * * *", timezone="Europe/Paris")
    parse_when("TZ=Asia/Tokyo 0 0 * * *", timezone="Asia/Tokyo")
