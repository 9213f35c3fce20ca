"""Places for calls: who gets one, who waits, who is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.functions import deployed

from wherry.errors import Busy, ConcurrencyReached
from wherry.service.admission import Admission, Capacity

if TYPE_CHECKING:
    from wherry.functions.model import Deployed


@asynccontextmanager
async def inside(
    admission: Admission, function: Deployed, *, left: float = 60
) -> AsyncIterator[None]:
    clock = asyncio.get_running_loop().time
    async with admission.place(function, clock=clock, deadline=clock() + left):
        yield


async def enter(admission: Admission, function: Deployed, *, left: float = 60) -> None:
    async with inside(admission, function, left=left):
        pass


async def waiting(admission: Admission, count: int) -> None:
    async with asyncio.timeout(10):
        while admission.waiting < count:
            await asyncio.sleep(0)


async def test_those_who_wait_enter_in_the_order_they_came() -> None:
    admission = Admission(Capacity(max_running=1))
    order: list[int] = []

    async def caller(number: int) -> None:
        async with inside(admission, deployed("f")):
            order.append(number)

    async with inside(admission, deployed("f")):
        callers = [asyncio.ensure_future(caller(number)) for number in range(5)]
        await waiting(admission, 5)
        assert order == []
    await asyncio.gather(*callers)
    assert order == [0, 1, 2, 3, 4]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_function_without_places_does_not_hold_up_another() -> None:
    admission = Admission(Capacity(max_running=2))
    one = deployed("one", concurrency=1, queue_wait=60.0)
    async with inside(admission, one):
        queued = asyncio.ensure_future(enter(admission, one))
        await waiting(admission, 1)
        await enter(admission, deployed("other"))
        assert admission.running_of(one.qualified) == 1
        assert admission.waiting_of(one.qualified) == 1
    await queued


async def test_a_call_above_the_concurrency_is_refused_at_once_or_after_its_wait() -> None:
    admission = Admission(Capacity())
    for wait in (0.0, 0.01):
        one = deployed("one", concurrency=1, queue_wait=wait)
        async with inside(admission, one):
            with pytest.raises(ConcurrencyReached, match="'one' runs 1 at one time"):
                await enter(admission, one)


async def test_a_call_waits_no_longer_than_it_has_time() -> None:
    admission = Admission(Capacity(max_running=1, queue_wait=60))
    async with inside(admission, deployed("f")):
        with pytest.raises(Busy, match=r"none ended within 0\.01 s"):
            await enter(admission, deployed("f"), left=0.01)


async def test_more_than_may_wait_are_refused_at_once() -> None:
    admission = Admission(Capacity(max_running=1, max_waiting=1))
    async with inside(admission, deployed("f")):
        queued = asyncio.ensure_future(enter(admission, deployed("f")))
        await waiting(admission, 1)
        with pytest.raises(Busy, match="1 more wait"):
            await enter(admission, deployed("f"))
    await queued


async def test_one_who_stops_waiting_leaves_nothing_behind() -> None:
    admission = Admission(Capacity(max_running=1))
    async with inside(admission, deployed("f")):
        queued = asyncio.ensure_future(enter(admission, deployed("f")))
        await waiting(admission, 1)
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        assert admission.waiting == 0
    await enter(admission, deployed("f"))
    assert admission._functions == {}


async def test_a_place_that_is_given_up_early_is_free_at_once_and_only_once() -> None:
    admission = Admission(Capacity(max_running=1))
    clock = asyncio.get_running_loop().time
    async with admission.place(deployed("f"), clock=clock, deadline=clock() + 60) as leave:
        leave()
        leave()
        assert admission.running == 0
        async with inside(admission, deployed("f")):
            assert admission.running == 1
    assert admission.running == 0


async def test_a_refusal_by_the_server_gives_the_functions_place_back() -> None:
    admission = Admission(Capacity(max_running=1, queue_wait=0.0))
    one = deployed("one", concurrency=1)
    async with inside(admission, deployed("other")):
        with pytest.raises(Busy):
            await enter(admission, one)
    await enter(admission, one)
