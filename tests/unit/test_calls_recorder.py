"""Records of calls that somebody waits for, and the database they are in."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.queueing import body, deployed_function, queueing

from wherry.calls import CallStore
from wherry.calls.database import Database
from wherry.calls.retrying import Backoff, retry_after
from wherry.errors import EngineError, EngineUnavailable, NotFound
from wherry.models import Exit
from wherry.service.call import Call

if TYPE_CHECKING:
    from wherry.testing import Call as ProgramCall


def ended(number: int) -> Call:
    return Call(
        id=f"call-{number}",
        deployed=deployed_function("fn", "busybox"),
        trigger="http",
        began=float(number),
        started=number + 0.25,
        ended=number + 1.0,
        exit=Exit(0),
        status=200,
    )


async def test_a_call_is_on_record_as_soon_as_it_is_asked_for(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        upper = on.declared.get("upper")
        async with on.service.call(upper, body(b"hi"), trigger="http", id="mine") as live:
            running = await on.store.get("mine")
            assert (running.state, running.number, running.trigger) == ("running", 0, "http")
            assert [call.id for call in await on.store.list(state="running")] == ["mine"]
            async for _ in live:
                pass
        done = await on.store.get("mine")
        assert (done.state, done.status, done.exit_code) == ("done", 200, 0)
        assert (done.stdin_bytes, done.stdout_bytes, done.attempts) == (2, 2, 1)
        assert done.number > 0
        with pytest.raises(NotFound, match="result"):
            await on.store.result("mine")


async def test_a_caller_cannot_hide_behind_the_id_of_a_queued_call(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def waits(call: ProgramCall) -> None:
        await gate.wait()

    async with queueing(tmp_path, programs={"waits": waits}) as on:
        on.declared.add("slow", "waits")
        queued = await on.put("slow", id="same")
        await on.until("same", "running")
        upper = on.declared.get("upper")
        async with on.service.call(upper, body(b"hi"), trigger="http", id="same") as live:
            async for _ in live:
                pass
        gate.set()
        await on.until(queued.id)
        assert {(call.name, call.trigger) for call in await on.store.list()} == {
            ("slow", "async"), ("upper", "http"),
        }  # fmt: skip


async def test_what_failed_is_on_record_with_its_reason(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        on.declared.add("bad", "busybox", command=("sh", "-c", "echo why >&2; exit 3"))
        on.declared.add("none", "no-such-image")
        async with on.service.call(
            on.declared.get("bad"), body(), trigger="http", id="bad"
        ) as live:
            async for _ in live:
                pass
        bad = await on.store.get("bad")
        assert (bad.state, bad.status, bad.exit_code, bad.stderr) == ("failed", 500, 3, b"why\n")
        with pytest.raises(Exception, match="no-such-image"):
            async with on.service.call(on.declared.get("none"), body(), trigger="http", id="none"):
                pass
        none = await on.store.get("none")
        assert (none.state, none.status, none.exit_code) == ("failed", 502, None)
        assert "no-such-image" in (none.error or "")


async def test_records_are_written_many_at_a_time_and_are_there_after_a_restart(
    tmp_path: Path,
) -> None:
    async with await CallStore.open(tmp_path) as store:
        for number in range(2000):
            call = ended(number)
            store.recorder.began(call)
            store.recorder.ended(call)
        assert len(await store.list(limit=5000)) == 2000
    async with await CallStore.open(tmp_path) as store:
        assert len(await store.list(limit=5000)) == 2000
        assert (await store.get("call-7")).duration == 0.75


async def test_calls_of_one_id_have_a_record_each(tmp_path: Path) -> None:
    async with await CallStore.open(tmp_path) as store:
        for _ in range(2):
            call = ended(1)
            store.recorder.began(call)
            store.recorder.ended(call)
        assert [call.id for call in await store.list()] == ["call-1", "call-1"]


async def test_calls_of_the_queue_are_recorded_once(tmp_path: Path) -> None:
    async with queueing(tmp_path) as on:
        await on.until((await on.put()).id)
        assert len(await on.store.list()) == 1


async def test_a_failed_operation_undoes_itself_and_no_other(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.db")
    await database.write(lambda db: db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)") and None)

    def add(number: int) -> object:
        def operation(db: sqlite3.Connection) -> int:
            db.execute("INSERT INTO t VALUES (?)", (number,))
            if number == 3:
                raise NotFound("three")
            return number

        return database.write(operation)

    outcomes = await asyncio.gather(*map(add, range(5)), return_exceptions=True)  # type: ignore[call-overload]
    assert [o for o in outcomes if isinstance(o, int)] == [0, 1, 2, 4]
    found = await database.read(lambda db: [row[0] for row in db.execute("SELECT n FROM t")])
    assert found == [0, 1, 2, 4]
    with pytest.raises(EngineError, match="UNIQUE"):
        await add(1)  # type: ignore[misc]
    await database.aclose()
    await database.aclose()
    with pytest.raises(EngineError, match="closed"):
        await add(9)  # type: ignore[misc]


async def test_records_of_a_later_version_are_refused(tmp_path: Path) -> None:
    async with await CallStore.open(tmp_path) as store:
        await store.database.write(lambda db: db.execute("PRAGMA user_version = 99") and None)
    with pytest.raises(EngineUnavailable, match="format 99"):
        await CallStore.open(tmp_path)


async def test_the_records_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    async with await CallStore.open(tmp_path):
        place = tmp_path / "calls"
        assert place.stat().st_mode & 0o777 == 0o700
        assert (place / "calls.db").stat().st_mode & 0o777 == 0o600


def test_delays_double_up_to_the_most_and_are_shortened_by_chance() -> None:
    sure = Backoff(first=1.0, most=10.0, chance=lambda: 0.0)
    assert [sure.delay(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert sure.delay(10_000) == 10.0
    assert Backoff(first=1.0, chance=lambda: 1.0).delay(1) == 0.5
    assert sure.delay(1, asked=7.0) == 7.0
    assert sure.delay(1, asked=1e9) == 3600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("120", 120.0), ("x", None), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


async def test_everybody_who_reads_while_records_are_written_gets_an_answer(
    tmp_path: Path,
) -> None:
    async with await CallStore.open(tmp_path) as store:

        async def calls(first: int) -> None:
            for number in range(first, first + 50):
                call = ended(number)
                store.recorder.began(call)
                store.recorder.ended(call)
                assert (await store.get(call.id)).id == call.id

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for place in range(8):
                group.create_task(calls(1000 * place))
        assert len(await store.list(limit=1000)) == 400
