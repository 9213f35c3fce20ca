"""The scheduler: late ticks, overlaps, tries, and several at one store."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.scheduling import START, Scheduling, SimulatedClock, scheduling

from wherry.errors import AlreadyExists, EngineError, NotFound, Unsupported, UsageError
from wherry.models import Exit
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.model import Definition, Run, Schedule
from wherry.triggers.cron.rows import Claim, Lost, Retention, Won
from wherry.triggers.cron.store import RunFilter

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Scheduling]:
    async with scheduling(tmp_path) as made:
        yield made


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()[:19]


async def test_ticks_of_a_downtime_are_missed_but_the_last_one_is_caught_up(
    tmp_path: Path,
) -> None:
    clock = SimulatedClock()
    async with scheduling(tmp_path, clock=clock) as on:
        await on.add("window", "0 * * * *", catch_up="30m")
        await on.add("none", "0 * * * *")
        await on.pass_time(2 * HOUR)
    clock = SimulatedClock(START + 6.25 * HOUR)
    async with scheduling(tmp_path, clock=clock) as on:
        await on.pass_time(HOUR)
        assert on.did.times("window") == [START + 6.25 * HOUR, START + 7 * HOUR]
        assert on.did.times("none") == [START + 7 * HOUR]
        runs = await on.runs("window")
        assert [(run.status, run.cause, run.count, iso(run.scheduled)) for run in runs[2:]] == [
            ("missed", "time", 3, "2026-01-01T05:00:00"),
            ("succeeded", "catch-up", 1, "2026-01-01T06:00:00"),
            ("succeeded", "time", 1, "2026-01-01T07:00:00"),
        ]
        assert [(run.status, run.count) for run in await on.runs("none")][2:] == [
            ("missed", 4), ("succeeded", 1)]  # fmt: skip


async def test_a_long_downtime_costs_no_time(on: Scheduling) -> None:
    await on.add("often", "* * * * * *")
    on.clock._now += 3 * 365 * DAY
    began = time.monotonic()
    await on.pass_time(0.5)
    assert time.monotonic() - began < 5
    assert len(on.did.runs) <= 6
    assert (await on.runs("often"))[0].status == "missed"


@pytest.mark.parametrize(
    ("overlap", "expected", "started"),
    [
        ("skip", ["running", "skipped", "skipped"], 1),
        ("allow", ["running", "running", "running"], 3),
        ("queue", ["running", "waiting", "skipped"], 1),
        ("replace", ["failed", "failed", "running"], 3),
    ],
)
async def test_runs_that_meet_do_as_the_policy_says(
    on: Scheduling, overlap: str, expected: list[str], started: int
) -> None:
    on.did.gate = asyncio.Event()
    await on.add("slow", "* * * * *", overlap=overlap)
    await on.pass_time(180, settle=False)
    assert await on.statuses("slow") == expected
    assert len(on.did.ids) == len(set(on.did.ids)) == started
    on.did.gate.set()
    await on.scheduler.settled()
    ends = [status if status in ("skipped", "failed") else "succeeded" for status in expected]
    assert await on.statuses("slow") == ends
    if overlap == "replace":
        assert len(on.did.killed) == 2
        assert "a later run took its place" in [run.error for run in await on.runs("slow")]


async def test_tries_are_repeated_with_growing_pauses_under_ids_of_their_own(
    on: Scheduling,
) -> None:
    on.did.exits = [Exit(1), Exit(1), Exit(0)]
    await on.add("flaky", "0 0 2 1 *", retries=5, backoff="10s")
    await on.pass_time(DAY + 60)
    (run,) = await on.runs("flaky")
    assert (run.status, run.attempts, run.exit_code) == ("succeeded", 3, 0)
    assert len(set(on.did.ids)) == 3
    first, second, third = on.did.times("flaky")
    assert 5 <= second - first <= 10
    assert 10 <= third - second <= 20


async def test_a_timeout_kills_and_says_so(on: Scheduling) -> None:
    on.did.gate = asyncio.Event()
    await on.add("long", "0 0 2 1 *", timeout=0.02)
    await on.pass_time(DAY + 60)
    (run,) = await on.runs("long")
    assert (run.status, run.exit_code, run.error) == (
        "timed out", None, "ended by its timeout of 0.02 s")  # fmt: skip
    assert len(on.did.killed) == 1


async def test_jitter_puts_a_run_off_by_a_part_of_its_bound(on: Scheduling) -> None:
    await on.add("put off", "0 0 2 1 *", jitter="1m")
    await on.pass_time(DAY + 120)
    assert on.did.times("put off") == [START + DAY + 30]


async def test_a_pause_lets_no_tick_count_and_makes_up_for_none(on: Scheduling) -> None:
    await on.add("hourly", "0 * * * *", catch_up="10h")
    await on.scheduler.pause("hourly", paused=True)
    await on.pass_time(5.5 * HOUR)
    assert on.did.runs == []
    assert on.scheduler.get("hourly").next is None
    await on.scheduler.pause("hourly", paused=False)
    await on.pass_time(HOUR)
    assert on.did.times("hourly") == [START + 6 * HOUR]
    assert await on.statuses("hourly") == ["succeeded"]


async def test_a_run_can_be_asked_for_at_any_time(on: Scheduling) -> None:
    await on.add("yearly", "@yearly")
    run = await on.scheduler.run_now("yearly")
    await on.scheduler.settled()
    found = await on.store.run("yearly", run.id)
    assert (found.status, found.cause) == ("succeeded", "asked")
    with pytest.raises(NotFound):
        await on.scheduler.run_now("nothing")


async def test_reboot_runs_once_for_each_start(tmp_path: Path) -> None:
    for count in (1, 2):
        async with scheduling(tmp_path) as on:
            await on.add("first", "@reboot")
            await on.pass_time(DAY)
            assert [run.cause for run in await on.runs("first")] == ["start"] * count


async def test_a_changed_definition_counts_at_once_and_keeps_its_history(on: Scheduling) -> None:
    await on.add("job", "0 * * * *")
    await on.pass_time(HOUR)
    await on.add("job", "30 * * * *")
    await on.pass_time(HOUR)
    assert on.did.times("job") == [START + HOUR, START + 1.5 * HOUR]
    assert len(await on.runs("job")) == 2
    await on.scheduler.remove("job")
    await on.pass_time(HOUR)
    assert len(on.did.runs) == 2
    assert await on.runs("job") == []


async def test_a_definition_that_cannot_be_leaves_the_old_one(on: Scheduling) -> None:
    await on.add("job", "0 * * * *")
    with pytest.raises(UsageError, match="field minute"):
        await on.add("job", "61 * * * *")
    with pytest.raises(Unsupported, match="Swarm"):
        await on.add("job", "@daily", kind="service-run", function=None, image="x")
    with pytest.raises(AlreadyExists, match=r"is a schedule of api"):
        await on.scheduler.define(
            Definition(name="job", schedule="@daily", function="f"), source="/etc/x.toml"
        )
    await on.pass_time(HOUR)
    assert on.did.times("job") == [START + HOUR]


async def test_two_schedulers_of_one_store_never_run_a_tick_twice(tmp_path: Path) -> None:
    clock = SimulatedClock()
    async with scheduling(tmp_path, clock=clock) as one:
        for number in range(20):
            await one.add(f"job {number}", "* * * * * *", overlap="allow")
        async with scheduling(tmp_path, clock=SimulatedClock()) as other:
            await asyncio.gather(one.pass_time(30), other.pass_time(30))
            ran = sorted(one.did.runs + other.did.runs)
            assert len(ran) == len(set(ran))
            # Either may run ahead of the other's simulated clock; what it took is run by it alone.
            for number in range(20):
                assert len(await one.runs(f"job {number}")) == len(
                    [name for name, _ in ran if name == f"job {number}"]
                )
            assert {name for name, _ in ran} == {f"job {number}" for number in range(20)}


async def test_a_run_of_another_scheduler_counts_for_the_overlap(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as one:
        one.did.gate = asyncio.Event()
        await one.add("slow", "* * * * *")
        await one.pass_time(60, settle=False)
        async with scheduling(tmp_path, clock=SimulatedClock(START + 61)) as other:
            await other.pass_time(60)
            assert other.did.runs == []
            assert [run.error for run in other.told] == ["another scheduler still runs this"]
        one.did.gate.set()


async def test_who_cannot_be_told_does_not_keep_a_scheduler_from_ending(
    on: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.triggers.cron.scheduler._TELLING", 0.01)
    on.did.gate = asyncio.Event()

    async def report(schedule: Schedule, run: Run) -> None:
        await asyncio.Event().wait()

    on.scheduler._report = report
    await on.add("slow", "@yearly")
    await on.scheduler.run_now("slow")
    while not on.did.runs:
        await asyncio.sleep(0)
    await on.scheduler.aclose()
    await on.scheduler.pause("slow", paused=True)  # written after the end of the run
    assert [(run.status, run.error) for run in await on.runs("slow")] == [
        ("failed", "it was stopped")]  # fmt: skip


async def test_only_so_much_of_the_past_is_kept(tmp_path: Path) -> None:
    async with scheduling(tmp_path, keep=Retention(runs=5)) as on:
        await on.add("often", "@every 1m")
        await on.pass_time(1200)
        assert [run.scheduled for run in await on.runs("often")] == [
            START + n * 60 for n in range(16, 21)]  # fmt: skip


async def test_a_clock_that_was_years_ahead_does_not_stop_schedules(tmp_path: Path) -> None:
    async with scheduling(tmp_path, clock=SimulatedClock(START + 3650 * DAY)) as on:
        await on.add("hourly", "0 * * * *")
    async with scheduling(tmp_path) as on:
        await on.pass_time(HOUR)
        assert on.did.times("hourly") == [START + HOUR]


async def test_a_clock_that_is_set_back_by_hours_stops_no_schedule_and_by_minutes_repeats_none(
    on: Scheduling,
) -> None:
    await on.add("hourly", "0 * * * *")
    await on.add("every", "@every 2h")
    await on.pass_time(4 * HOUR)
    assert len(on.did.times("hourly")) == 4
    on.clock._now -= 600
    await on.pass_time(1200)
    assert len(on.did.times("hourly")) == 4
    on.clock._now -= 30 * DAY
    await on.pass_time(4 * HOUR)
    assert len(on.did.times("hourly")) == 8
    assert len(on.did.times("every")) == 4


async def test_a_clock_that_is_set_forward_runs_what_is_due_then(on: Scheduling) -> None:
    await on.add("daily", "0 12 * * *", catch_up="1h")
    await on.pass_time(60)
    on.clock._now += 12.5 * HOUR
    await on.pass_time(60)
    assert [run.cause for run in await on.runs("daily")] == ["catch-up"]


async def test_the_wall_clock_wakes_whoever_waits_when_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a timer says once the clock was set; ``test_schedules_clock.py`` has a real one."""
    clock, changed = WallClock(), asyncio.Event()

    def cancelled(descriptor: int, _size: int) -> bytes:
        raise OSError(errno.ECANCELED, "cancelled")

    try:
        waiting = asyncio.ensure_future(clock.until(clock.now() + 0.02, changed))
        await asyncio.sleep(0)
        monkeypatch.setattr("wherry.triggers.cron.clock.os.read", cancelled)
        await asyncio.wait_for(waiting, 20)
        assert changed.is_set()
    finally:
        monkeypatch.undo()
        clock.close()


async def test_the_wall_clock_wakes_in_time_and_on_changes() -> None:
    clock, changed = WallClock(), asyncio.Event()
    try:
        moment = clock.now() + 0.03
        await clock.until(moment, changed)
        assert clock.now() >= moment
        changed.clear()
        asyncio.get_running_loop().call_soon(changed.set)
        await clock.until(None, changed)
        changed.set()
        await clock.until(None, changed)
        await clock.until(clock.now() - 1, asyncio.Event())
    finally:
        clock.close()


async def test_many_that_are_due_at_once_are_claimed_together(on: Scheduling) -> None:
    await asyncio.gather(*(on.add(f"job {number}", "* * * * *") for number in range(600)))
    claim, sizes = on.store.claim, list[int]()

    async def counted(claims: Sequence[Claim]) -> list[Won | Lost]:
        sizes.append(len(claims))
        return await claim(claims)

    on.store.claim = counted  # type: ignore[method-assign]
    await on.pass_time(60)
    assert sizes == [256, 256, 88]
    assert len(set(on.did.runs)) == len(on.did.runs) == 600
    assert {known.next for known in on.scheduler.known.values()} == {START + 120}
    runs = await on.store.runs(RunFilter(limit=1000))
    assert len({run.number for run in runs}) == len({run.id for run in runs}) == 600


async def test_what_is_changed_while_others_are_claimed_goes_by_its_new_definition(
    on: Scheduling,
) -> None:
    await on.add("changed", "0 * * * *")
    await on.add("gone", "0 * * * *")
    claim = on.store.claim

    async def meanwhile(claims: Sequence[Claim]) -> list[Won | Lost]:
        on.store.claim = claim  # type: ignore[method-assign]
        await on.add("changed", "30 * * * *")
        await on.scheduler.remove("gone")
        return await claim(claims)

    on.store.claim = meanwhile  # type: ignore[method-assign]
    await on.pass_time(2 * HOUR)
    assert on.did.times("changed") == [START + 1.5 * HOUR]
    assert on.did.times("gone") == []
    assert set(on.scheduler.known) == {"changed"}


async def test_a_store_that_fails_is_asked_again_and_no_tick_is_lost(on: Scheduling) -> None:
    await on.add("hourly", "0 * * * *")
    claim = on.store.claim

    async def failing(claims: Sequence[Claim]) -> list[Won | Lost]:
        on.store.claim = claim  # type: ignore[method-assign]
        raise EngineError("the disk is full")

    on.store.claim = failing  # type: ignore[method-assign]
    await on.pass_time(HOUR + 10)
    assert on.did.times("hourly") == [START + HOUR + 1]  # a second is waited for the store
