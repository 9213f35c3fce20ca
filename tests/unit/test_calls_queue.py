"""The durable queue: what goes in comes out once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.queueing import (
    QUICK,
    body,
    eventually,
    queueing,
    request,
)

from wherry.calls import CallStore, QueueLimits
from wherry.errors import AlreadyExists, Busy, Conflict, NotFound, TooLarge, UsageError

if TYPE_CHECKING:
    from wherry.testing import Call

LARGE = bytes(range(256)) * 1024  # 256 KiB: a file


async def test_a_queued_call_is_run_and_its_result_kept(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        queued = await on.put(data=b"hello")
        assert (queued.state, queued.stdin_bytes) == ("queued", 5)
        done = await on.until(queued.id)
        assert (done.state, done.status, done.exit_code, done.attempts) == ("done", 200, 0, 1)
        assert await on.result(queued.id) == b"HELLO"
        assert done.created <= (done.started or 0) <= (done.ended or 0)


async def test_large_bodies_and_results_are_files_that_go_when_they_are_not_needed(
    tmp_path: Path,
) -> None:
    files = tmp_path / "calls" / "payloads"
    async with queueing(tmp_path, working=False) as on:
        on.declared.add("cat", "busybox", command=("cat",))
        queued = await on.put("cat", LARGE)
        assert [path.stat().st_size for path in files.iterdir()] == [len(LARGE)]
    async with queueing(tmp_path) as on:
        on.declared.add("cat", "busybox", command=("cat",))
        done = await on.until(queued.id)
        assert (done.state, done.result_size) == ("done", len(LARGE))
        assert await on.result(queued.id) == LARGE
        assert len(list(files.iterdir())) == 1  # the result; the body is gone


async def test_the_environment_and_arguments_of_a_request_reach_the_function(
    tmp_path: Path,
) -> None:
    async with queueing(tmp_path) as on:
        on.declared.add("say", "busybox", command=("sh", "-c", "echo $Http_X_Who"))
        queued = await on.put("say", env={"Http_X_Who": "me"})
        await on.until(queued.id)
        assert await on.result(queued.id) == b"me\n"


async def test_a_second_call_of_the_same_id_is_refused(tmp_path: Path) -> None:
    async with queueing(tmp_path, working=False) as on:
        await on.put(id="mine")
        with pytest.raises(AlreadyExists, match="'mine'"):
            await on.put(id="mine", data=LARGE)
        assert list((tmp_path / "calls" / "payloads").iterdir()) == []
        assert (await on.store.stats()).queued == 1


@pytest.mark.parametrize(("own", "who"), [(None, "the queue"), (100, "'upper.openfaas-fn'")])
async def test_a_body_that_is_too_large_is_refused_and_says_who_set_the_limit(
    tmp_path: Path, own: int | None, who: str
) -> None:
    async with await CallStore.open(tmp_path, limits=QueueLimits(max_body=200_000)) as store:
        with pytest.raises(TooLarge, match=who):
            await store.enqueue(request(), body(LARGE[:150_000], LARGE), max_body=own)
        assert list((tmp_path / "calls" / "payloads").iterdir()) == []


async def test_a_full_queue_refuses(tmp_path: Path) -> None:
    async with queueing(tmp_path, limits=QueueLimits(max_depth=2), working=False) as on:
        await on.put()
        await on.put()
        with pytest.raises(Busy, match="2 calls wait"):
            await on.put()
    async with queueing(tmp_path, limits=QueueLimits(max_bytes=12), working=False) as on:
        with pytest.raises(Busy, match="bodies"):
            await on.put(data=b"123")


async def test_bodies_on_their_way_count_as_those_that_wait(tmp_path: Path) -> None:
    begun, going_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"12345678"
        begun.set()
        await going_on.wait()

    async with queueing(tmp_path, limits=QueueLimits(max_bytes=12), working=False) as on:
        slowly = asyncio.ensure_future(on.store.enqueue(request(), slow()))
        await begun.wait()
        with pytest.raises(Busy, match="bodies"):
            await on.put(data=b"12345")
        assert (await on.put(data=b"1234")).state == "queued"
        going_on.set()
        assert (await slowly).state == "queued"
        with pytest.raises(Busy, match="bodies"):
            await on.put(data=b"1")


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "http://", "x", "http://[::1", "http://a:99999/", "http://a/\n", "http://x y/"],
)
async def test_a_callback_that_cannot_be_is_refused(tmp_path: Path, url: str) -> None:
    async with queueing(tmp_path, working=False) as on:
        with pytest.raises(UsageError, match="X-Callback-Url"):
            await on.put(callback=url)


async def test_callbacks_go_only_where_they_may(tmp_path: Path) -> None:
    limits = QueueLimits(callback_hosts=("*.example.org",))
    async with queueing(tmp_path, working=False, limits=limits) as on:
        await on.put(callback="https://HOOKS.example.org/x")
        with pytest.raises(UsageError, match=r"'evil\.org' may not be called"):
            await on.put(callback="https://evil.org/?.example.org")


async def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionResetError

    async with queueing(tmp_path, working=False) as on:
        with pytest.raises(ConnectionResetError):
            await on.store.enqueue(request(), broken())
        assert await on.store.list() == []
        assert list((tmp_path / "calls" / "payloads").iterdir()) == []


# ---- retries -------------------------------------------------------------------------------


async def test_what_fails_is_tried_again_until_it_succeeds(tmp_path: Path) -> None:
    tries = iter((1, 1, 0))

    async def flaky(call: Call) -> int:
        await call.stdout.write(b"out")
        return next(tries)

    async with queueing(tmp_path, programs={"flaky": flaky}) as on:
        on.declared.add("flaky", "flaky")
        done = await on.until((await on.put("flaky")).id)
        assert (done.state, done.attempts, done.status, done.error) == ("done", 3, 200, None)
        assert await on.result(done.id) == b"out"


async def test_what_fails_each_time_is_dead_and_can_be_asked_for_again(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        script = "echo partly; echo why >&2; exit 3"
        on.declared.add("bad", "busybox", command=("sh", "-c", script), retries=2)
        dead = await on.until((await on.put("bad", LARGE)).id)
        assert (dead.state, dead.attempts, dead.status, dead.exit_code) == ("dead", 3, 500, 3)
        assert dead.stderr == b"why\n"
        assert "returned non-zero exit status 3" in (dead.error or "")
        assert await on.result(dead.id) == b"partly\n"
        assert [call.id for call in await on.store.list(state="dead")] == [dead.id]

        on.declared.add("bad", "busybox", command=("wc", "-c"))
        queued = await on.store.retry(dead.id)
        assert (queued.attempts, queued.error, queued.ended) == (0, None, None)
        done = await on.until(dead.id)
        assert (done.state, done.attempts) == ("done", 1)
        assert int(await on.result(dead.id)) == len(LARGE)


async def test_chosen_exit_codes_are_tried_again_and_the_others_are_final(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        chosen = frozenset({75})
        on.declared.add("temp", "busybox", command=("sh", "-c", "exit 75"), retry_codes=chosen)
        on.declared.add("final", "busybox", command=("sh", "-c", "exit 1"), retry_codes=chosen)
        temporary = await on.until((await on.put("temp")).id)
        final = await on.until((await on.put("final")).id)
        assert (temporary.state, temporary.attempts) == ("dead", 1 + QUICK.retries)
        assert (final.state, final.attempts) == ("dead", 1)


async def test_a_call_of_a_function_that_is_gone_is_dead(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        dead = await on.until((await on.put("nobody")).id)
        assert (dead.state, dead.status, dead.attempts) == ("dead", 404, 1)


async def test_an_image_that_cannot_be_had_is_tried_again(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        on.declared.add("none", "no-such-image")
        dead = await on.until((await on.put("none")).id)
        assert (dead.state, dead.status, dead.attempts) == ("dead", 502, 1 + QUICK.retries)
        assert "no-such-image" in (dead.error or "")


async def test_a_timeout_of_the_request_ends_its_call(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        on.declared.add("slow", "busybox", command=("sleep", "60"), retries=0)
        dead = await on.until((await on.put("slow", timeout=0.01)).id)
        assert (dead.state, dead.status, dead.exit_reason) == ("dead", 504, "timeout")
        assert "0.01 s" in (dead.error or "")


async def test_a_result_that_is_too_large_ends_its_call(tmp_path: Path) -> None:
    async with queueing(tmp_path, limits=QueueLimits(max_result=100_000)) as on:
        on.declared.add("yes", "busybox", command=("yes",))
        dead = await on.until((await on.put("yes")).id)
        assert (dead.state, dead.status, dead.attempts) == ("dead", 500, 1)
        assert "most that is kept" in (dead.error or "")


# ---- places --------------------------------------------------------------------------------


async def test_a_functions_concurrency_is_kept_and_no_try_is_used_up_by_waiting(
    tmp_path: Path,
) -> None:
    inside = 0
    most = 0

    async def busy(call: Call) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1

    async with queueing(tmp_path, programs={"busy": busy}, concurrency=8) as on:
        on.declared.add("busy", "busy", concurrency=2, retries=0)
        ids = [(await on.put("busy")).id for _ in range(30)]
        other = await on.put("upper")
        ended = [await on.until(each) for each in [*ids, other.id]]
        assert {(call.state, call.attempts) for call in ended} == {("done", 1)}
        assert most <= 2


async def test_calls_that_wait_for_a_place_let_those_of_other_functions_pass(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()

    async def waits(call: Call) -> None:
        await gate.wait()

    async with queueing(tmp_path, programs={"waits": waits}, concurrency=4) as on:
        on.declared.add("waits", "waits", concurrency=1)
        ids = [(await on.put("waits")).id for _ in range(20)]
        assert (await on.until((await on.put("upper")).id)).state == "done"
        gate.set()
        assert {(await on.until(each)).state for each in ids} == {"done"}


async def test_a_place_that_a_caller_who_waits_takes_is_waited_for(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def waits(call: Call) -> None:
        await gate.wait()

    async with queueing(tmp_path, programs={"waits": waits}) as on:
        on.declared.add("waits", "waits", concurrency=1)
        deployed = on.declared.get("waits")
        async with on.service.call(deployed, body(), trigger="http") as live:
            queued = await on.put("waits")
            done = await on.until((await on.put("upper")).id)
            assert done.state == "done"
            assert (await on.store.get(queued.id)).is_open
            gate.set()
            async for _ in live:
                pass
        assert (await on.until(queued.id)).state == "done"


# ---- cancelling ----------------------------------------------------------------------------


async def test_who_waits_for_a_call_that_is_not_there_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    async with queueing(tmp_path, working=False) as on:
        for number in range(3):
            with pytest.raises(NotFound):
                await on.store.wait(f"nobody-{number}", seconds=1.0)
        queued = await on.put()
        waiting = [asyncio.ensure_future(on.store.wait(queued.id, seconds=60.0)) for _ in "ab"]
        await asyncio.sleep(0)
        waiting[0].cancel()  # such as a client that leaves
        await on.store.cancel(queued.id)
        assert (await waiting[1]).state == "cancelled"
        assert not on.store._awaited


async def test_a_waiting_call_is_cancelled_at_once(tmp_path: Path) -> None:
    async with queueing(tmp_path, working=False) as on:
        queued = await on.put()
        assert (await on.store.cancel(queued.id)).state == "cancelled"
        with pytest.raises(Conflict, match="has ended"):
            await on.store.cancel(queued.id)
    async with queueing(tmp_path) as on:
        assert (await on.store.retry(queued.id)).state in {"queued", "running", "done"}
        assert (await on.until(queued.id)).state == "done"


async def test_a_running_call_is_ended_when_it_is_cancelled(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        on.declared.add("long", "busybox", command=("sleep", "600"))
        queued = await on.put("long")
        await on.until(queued.id, "running")
        await eventually(lambda: asyncio.sleep(0, bool(on.engine.running)))
        await on.store.cancel(queued.id)
        ended = await on.until(queued.id)
        assert (ended.state, ended.attempts, ended.cancelling) == ("cancelled", 1, False)
        assert on.engine.running == {}


async def test_what_is_cancelled_by_somebody_else_ends_with_the_next_renewal(
    tmp_path: Path,
) -> None:
    async with queueing(tmp_path, lease=0.06) as on:
        on.declared.add("long", "busybox", command=("sleep", "600"))
        queued = await on.put("long")
        await on.until(queued.id, "running")
        async with await CallStore.open(tmp_path) as other:
            await other.cancel(queued.id)
        assert (await on.until(queued.id)).state == "cancelled"


async def test_there_is_nothing_to_cancel_or_retry_of_calls_that_were_not_queued(
    tmp_path: Path,
) -> None:
    async with queueing(tmp_path) as on:
        async with on.service.call(
            on.declared.get("upper"), body(b"x"), trigger="http", id="waited"
        ) as live:
            async for _ in live:
                pass
        assert (await on.store.get("waited")).state == "done"
        for act in (on.store.cancel, on.store.retry):
            with pytest.raises(Conflict, match="was not queued"):
                await act("waited")
            with pytest.raises(NotFound):
                await act("unknown")
        done = await on.until((await on.put()).id)
        with pytest.raises(Conflict, match="is done"):
            await on.store.retry(done.id)
