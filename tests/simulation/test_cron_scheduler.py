"""The scheduler through a year in four zones, and with 10,000 schedules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.scheduling import START, Scheduling, scheduling

from wherry.triggers.cron.model import Definition
from wherry.triggers.cron.syntax import parse_when

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Scheduling]:
    async with scheduling(tmp_path) as made:
        yield made


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()[:19]


async def test_a_year_in_four_zones_runs_every_tick_once_and_in_time(on: Scheduling) -> None:
    zones = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
    for zone in zones:
        await on.add(f"night {zone.rpartition('/')[2]}", "30 2 * * *", timezone=zone)
    await on.add("six", "30 0 0 1 * *", timezone="Europe/Paris")
    await on.add("every", "@every 36h")
    await on.pass_time(365 * DAY)
    for zone in zones:
        name = f"night {zone.rpartition('/')[2]}"
        when, moment, expected = parse_when("30 2 * * *", timezone=zone), START, []
        while (tick := when.after(moment)) is not None and tick <= START + 365 * DAY:
            expected.append(tick)
            moment = tick
        assert on.did.times(name) == expected
        assert len(expected) == 365
    assert [iso(each) for each in on.did.times("six")][2:5] == [
        "2026-03-31T22:00:30", "2026-04-30T22:00:30", "2026-05-31T22:00:30"]  # fmt: skip
    assert on.did.times("every") == [START + n * 36 * HOUR for n in range(1, 244)]
    assert {run.status for run in on.told} == {"succeeded"}


async def test_ten_thousand_schedules_are_loaded_and_cost_nothing_while_they_wait(
    tmp_path: Path,
) -> None:
    async with scheduling(tmp_path) as on:
        made = [
            on.store.put(
                Definition(name=f"job {n}", schedule=f"{n % 60} {n % 24} * * *", function="f"),
                source="api", now=START,
            )
            for n in range(10_000)
        ]  # fmt: skip
        await asyncio.gather(*made)
    async with scheduling(tmp_path) as on:
        assert len(on.scheduler.known) == 10_000
        await on.pass_time(HOUR)
        assert len(on.did.runs) == sum(1 for n in range(10_000) if 0 < (n % 24) * 60 + n % 60 <= 60)
