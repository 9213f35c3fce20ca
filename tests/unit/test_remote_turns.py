"""A bounded queue, and runs that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest

from wherry.errors import NotFound
from wherry.remote.answers import document
from wherry.remote.faults import Fault
from wherry.remote.jobs import ROOT, Jobs
from wherry.remote.model import Answer, Call, Caller
from wherry.remote.queueing import Queued
from wherry.remote.turns import Full, Turns

ALICE = Caller(name="alice", is_admin=False)
BOB = Caller(name="bob", is_admin=False)


def put(*, caller: Caller = ALICE, prefer: str = "") -> Call:
    return Call(
        method="PUT",
        target="",
        query={},
        fields={"image": "x"},
        caller=caller,
        headers={"prefer": prefer} if prefer else {},
    )


class Slow:
    """A handler whose answers wait to be let go."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.ended = 0
        self.go = asyncio.Event()

    async def __call__(self, call: Call) -> Answer:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
            self.ended += 1
        return document({"raw": call.caller.name})


def queued(places: int, *, waiting: int) -> tuple[Queued, Slow, Turns, Jobs]:
    turns = Turns(places, waiting=waiting)
    jobs, slow = Jobs(turns, strict=True), Slow()
    return Queued(slow, turns=turns, jobs=jobs), slow, turns, jobs


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_comes_beyond_capacity_waits_its_turn_and_is_told_its_position() -> None:
    handler, slow, turns, _ = queued(2, waiting=3)
    asked = []
    for _ in range(5):
        asked.append(asyncio.create_task(handler(put())))
        await settle()
    assert (turns.running, turns.waiting, slow.running) == (2, 3, 2)
    with pytest.raises(Full) as full:
        await handler(put())
    assert full.value.status == 503
    assert int(full.value.headers["Retry-After"]) >= 1
    assert turns.desired_nodes() == 3
    slow.go.set()
    positions = [(await one).headers["X-Queue-Position"] for one in asked]
    assert positions == ["0", "0", "1", "2", "3"]
    assert (slow.most, turns.running, turns.waiting, turns.refused) == (2, 0, 0, 1)
    assert turns.desired_nodes() == 1


async def test_who_leaves_the_queue_gives_its_place_up() -> None:
    handler, slow, turns, _ = queued(1, waiting=5)
    first, second, third = (asyncio.create_task(handler(put())) for _ in range(3))
    await settle()
    second.cancel()
    await settle()
    assert turns.waiting == 1
    first.cancel()
    await settle()
    assert (turns.running, turns.waiting, slow.running) == (1, 0, 1)
    slow.go.set()
    assert (await third).status == 200


async def test_only_runs_wait() -> None:
    handler, slow, turns, _ = queued(1, waiting=0)
    running = asyncio.create_task(handler(put()))
    await settle()
    other = Call(method="GET", target="", query={}, fields={}, caller=ALICE)
    slow.go.set()
    answer = await handler(other)
    assert "X-Queue-Position" not in answer.headers
    await running
    assert turns.running == 0


async def test_a_body_that_is_a_stream_keeps_its_place_until_it_is_closed() -> None:
    turns = Turns(1, waiting=1)
    closed: list[str] = []

    async def pieces() -> object:
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append("body")

    async def streaming(call: Call) -> Answer:
        del call
        return Answer(body=pieces())  # type: ignore[arg-type]

    handler = Queued(streaming, turns=turns, jobs=Jobs(turns, strict=True))
    answer = await handler(put())
    assert turns.running == 1
    assert not isinstance(answer.body, bytes)
    assert await anext(answer.body) == b"one"
    await answer.body.aclose()  # type: ignore[attr-defined]
    assert (turns.running, closed) == (0, ["body"])


async def test_a_run_that_nobody_waits_for_has_a_state_for_who_asked_for_it() -> None:
    handler, slow, turns, jobs = queued(1, waiting=1)
    first = await handler(put(prefer="wait=1, respond-async"))
    second = await handler(put(prefer="respond-async"))
    await settle()
    assert (first.status, second.status) == (202, 202)
    assert first.headers["Preference-Applied"] == "respond-async"
    assert [one.headers["X-Queue-Position"] for one in (first, second)] == ["0", "1"]
    with pytest.raises(Fault):
        await handler(put(prefer="respond-async"))
    ids = [one.headers["Location"].removeprefix(ROOT) for one in (first, second)]
    states = [jobs.described(jobs.find(ALICE, id_))["state"] for id_ in ids]
    assert states == ["running", "queued"]
    for id_ in (*ids, "nothing"):
        with pytest.raises(NotFound):
            jobs.find(BOB, id_)
    slow.go.set()
    await settle()
    told = jobs.described(jobs.find(ALICE, ids[0]))
    assert (told["state"], told["status"], told["answer"]) == ("ended", 200, {"raw": "alice"})
    assert turns.running == 0


async def test_a_run_can_be_ended_before_and_after_it_began() -> None:
    handler, slow, turns, jobs = queued(1, waiting=2)
    answers = [await handler(put(prefer="respond-async")) for _ in range(3)]
    found = [jobs.find(ALICE, one.headers["Location"].removeprefix(ROOT)) for one in answers]
    await jobs.end(found[1])  # before its task has run at all
    await settle()
    await jobs.end(found[0])
    await jobs.end(found[0])
    await settle()
    assert slow.running == 1
    assert turns.running == 1
    await jobs.aclose()
    assert (turns.running, turns.waiting) == (0, 0)
    assert {jobs.described(job)["status"] for job in found} == {499}


async def test_what_ended_is_forgotten_when_it_is_old() -> None:
    now = [0.0]
    turns = Turns(1, waiting=1)
    jobs = Jobs(turns, strict=True, clock=lambda: now[0])

    async def done() -> Answer:
        return document("x")

    job = jobs.begin(ALICE, turns.enter(), work=done)
    await settle()
    assert jobs.find(ALICE, job.id) is job
    now[0] = 4000.0
    with pytest.raises(NotFound):
        jobs.find(ALICE, job.id)
