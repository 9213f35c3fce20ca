"""What is left when a server dies, when a lease ends, when a clock jumps, when time goes by."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.support.queueing import QUICK, FakeClock, Queueing, body, queueing, request

from wherry.calls import CallStore, QueueLimits, queue, recovery, retention
from wherry.calls.queue import Claimed, Ending, Finished
from wherry.errors import NotFound

LARGE = bytes(range(256)) * 1024  # 256 KiB: a file


async def claim(store: CallStore, *, lease: float) -> list[Claimed]:
    now = store.now()
    return await store.database.write(
        lambda db: queue.claim(db, now, lease=lease, most=10, places={})
    )


async def finish(store: CallStore, claimed: Claimed) -> Finished:
    ending = Ending(state="done", status=200, ended=1.0)
    return await store.database.write(
        partial(queue.finish, claimed=claimed, ending=ending, result=None, now=store.now())
    )


async def claim_as_the_dead(on: Queueing, *, most: int) -> None:
    """Claim as an owner who is not there any more, such as after a kill -9."""
    now = replace(on.store.now(), owner="f" * 16)
    await on.store.database.write(lambda db: queue.claim(db, now, lease=30.0, most=most, places={}))


# ---- owners and clocks ---------------------------------------------------------------------


async def test_what_a_dead_owner_ran_is_run_again_at_once_at_its_old_place(tmp_path: Path) -> None:
    async with queueing(tmp_path, working=False) as on:
        first = await on.put()
        await on.put()
        await claim_as_the_dead(on, most=1)
        assert (await on.store.get(first.id)).state == "running"
    async with queueing(tmp_path) as on:
        record = await on.store.get(first.id)
        assert record.interruptions == 1
        done = await on.until(first.id)
        assert (done.state, done.attempts, done.interruptions) == ("done", 2, 1)


async def test_what_a_living_owner_runs_is_left_alone_until_its_lease_ends(tmp_path: Path) -> None:
    clock = FakeClock()
    async with await CallStore.open(tmp_path, clock=clock.clock()) as hung:
        queued = await hung.enqueue(request(), body(b"x"))
        (claimed,) = await claim(hung, lease=30.0)
        async with queueing(tmp_path, clock=clock.clock(), working=False) as on:
            clock.pass_by(29.0)
            assert await recovery.reclaim(on.store) == 0
            clock.pass_by(2.0)
            assert await recovery.reclaim(on.store) == 1
            assert (await on.store.get(queued.id)).state == "queued"
            (again,) = await claim(on.store, lease=30.0)
            assert again.attempts == 2
            # The one that hung comes back, and its word is not taken any more.
            late = await finish(hung, claimed)
            assert not late.written
            assert (await finish(on.store, again)).written
            assert (await on.store.get(queued.id)).state == "done"


async def test_a_wall_clock_that_jumps_neither_ends_leases_nor_delays_anything(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with await CallStore.open(tmp_path, clock=clock.clock()) as store:
        await store.enqueue(request(), body(b"x"))
        clock.wall -= 86_400.0
        (claimed,) = await claim(store, lease=30.0)
        async with await CallStore.open(tmp_path, clock=clock.clock()) as other:
            clock.wall += 10 * 86_400.0
            assert await recovery.reclaim(other) == 0
        clock.wall -= 20 * 86_400.0
        ending = Ending(state="queued", status=500, delay=5.0)
        await store.database.write(
            partial(queue.finish, claimed=claimed, ending=ending, result=None, now=store.now())
        )
        assert await claim(store, lease=30.0) == []
        clock.steady += 5.1
        assert len(await claim(store, lease=30.0)) == 1


async def test_delays_go_on_after_the_machine_was_started_anew(tmp_path: Path) -> None:
    clock = FakeClock(steady=500_000.0)
    async with await CallStore.open(tmp_path, clock=clock.clock()) as store:
        await store.enqueue(request(), body(b"x"))
        (claimed,) = await claim(store, lease=30.0)
        ending = Ending(state="queued", status=500, delay=100.0)
        await store.database.write(
            partial(queue.finish, claimed=claimed, ending=ending, result=None, now=store.now())
        )
    clock.boot, clock.steady = "boot-2", 7.0
    clock.wall += 40.0
    async with await CallStore.open(tmp_path, clock=clock.clock()) as store:
        clock.pass_by(59.0)
        assert await claim(store, lease=30.0) == []
        clock.pass_by(2.0)
        assert len(await claim(store, lease=30.0)) == 1


async def test_a_call_that_ends_the_server_again_and_again_is_dead_at_last(
    tmp_path: Path,
) -> None:
    queued_id = ""
    for _ in range(QUICK.interruptions + 1):
        async with queueing(tmp_path, working=False) as on:
            queued_id = queued_id or (await on.put()).id
            await claim_as_the_dead(on, most=1)
    async with queueing(tmp_path) as on:
        dead = await on.until(queued_id)
        assert dead.state == "dead"
        assert "21 times while this call ran" in (dead.error or "")


async def test_a_graceful_stop_hands_back_what_it_cannot_finish(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        on.declared.add("long", "busybox", command=("sleep", "600"))
        queued = await on.put("long")
        await on.until(queued.id, "running")
    async with queueing(tmp_path, working=False) as on:
        record = await on.store.get(queued.id)
        assert (record.state, record.attempts, record.interruptions) == ("queued", 0, 0)


async def test_files_that_no_record_names_are_removed_when_their_owner_is_dead(
    tmp_path: Path,
) -> None:
    files = tmp_path / "calls" / "payloads"
    async with queueing(tmp_path, working=False) as on:
        await on.put(data=LARGE)
        (kept,) = files.iterdir()
        (files / "0123456789abcdef-left").write_bytes(b"half a body")
        being_written = files / f"{on.store.owner.id}-now"
        being_written.write_bytes(b"")
        async with await CallStore.open(tmp_path):
            assert set(files.iterdir()) == {kept, being_written}


# ---- keeping -------------------------------------------------------------------------------


async def test_results_and_records_are_given_up_by_age_and_size(tmp_path: Path) -> None:
    clock = FakeClock(wall=time.time())
    limits = QueueLimits(
        keep_results=100.0, keep_records=1000.0, keep_dead=5000.0, keep_result_bytes=300_000
    )
    async with queueing(tmp_path, clock=clock.clock(), limits=limits) as on:
        on.declared.add("cat", "busybox", command=("cat",))
        on.declared.add("bad", "busybox", command=("false",), retries=0)
        first, second = [(await on.until((await on.put("cat", LARGE)).id)).id for _ in range(2)]
        dead = await on.until((await on.put("bad", LARGE)).id)
        await retention.sweep(on.store)
        with pytest.raises(NotFound, match="not kept"):
            await on.store.result(first)  # both together were too much
        assert await on.result(second) == LARGE
        clock.pass_by(101.0)
        await retention.sweep(on.store)
        assert (await on.store.get(second)).result_size is None
        clock.pass_by(1000.0)
        await retention.sweep(on.store)
        assert [call.id for call in await on.store.list()] == [dead.id]
        clock.pass_by(4000.0)
        await retention.sweep(on.store)
        assert await on.store.list() == []
        assert list((tmp_path / "calls" / "payloads").iterdir()) == []


async def test_lists_are_filtered_and_paged_the_latest_first(tmp_path: Path) -> None:
    async with queueing(tmp_path, working=False) as on:
        ids = [(await on.put("a" if place % 2 else "b")).id for place in range(6)]
        page = await on.store.list(limit=4)
        assert [call.id for call in page] == ids[:1:-1]
        rest = await on.store.list(limit=4, before=page[-1].number)
        assert [call.id for call in rest] == ids[1::-1]
        assert {call.name for call in await on.store.list(name="a")} == {"a"}
        assert await on.store.list(state="dead") == []
        assert await on.store.list(trigger="http") == []
        stats = await on.store.stats()
        assert (stats.queued, stats.running, stats.dead) == (6, 0, 0)
        assert stats.oldest is not None
