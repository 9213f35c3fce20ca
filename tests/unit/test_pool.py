"""Ready containers: who gets them, how many there are, and when they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from wherry import streams
from wherry.errors import EngineError
from wherry.models import Exit, Function, Invocation, Ready
from wherry.testing import MemoryEngine
from wherry.wrappers.pool import Pool

if TYPE_CHECKING:
    from wherry.engines.base import Container, Stdin

UPPER = Function(name="upper", image="busybox", command=("tr", "a-z", "A-Z"))


class Slot:
    """A slot of the memory engine: nothing is made beforehand, all else is as it should be."""

    def __init__(self, engine: ReadyMemory, function: Function) -> None:
        self._engine = engine
        self.function = function
        self.usable = True
        self.fails = False
        self._ended = asyncio.Event()

    def serves(self, invocation: Invocation) -> bool:
        level = self.function.ready.level if self.function.ready else "created"
        return level == "created" or not invocation.args

    async def ended(self) -> None:
        await self._ended.wait()

    def die(self) -> None:
        self.usable = False
        self._ended.set()

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[Container]:
        assert self.usable
        self.usable = False
        if self.fails:
            raise EngineError("it sank at its mooring")
        self._engine.served.append(self)
        async with self._engine.cold.start(invocation, stdin) as container:
            yield container


class ReadyMemory:
    def __init__(self) -> None:
        self.cold = MemoryEngine()
        self.slots: list[Slot] = []
        self.served: list[Slot] = []
        self.started_cold = 0
        self.broken = False
        self.quay_is_free = asyncio.Event()
        self.quay_is_free.set()
        self.changed = asyncio.Event()

    async def prepare(self, function: Function) -> None:
        await self.cold.prepare(function)

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        self.started_cold += 1
        return self.cold.start(invocation, stdin)

    @asynccontextmanager
    async def reserve(self, function: Function) -> AsyncIterator[Slot]:
        if self.broken:
            raise EngineError("no room on the quay")
        slot = Slot(self, function)
        self.slots.append(slot)
        self.changed.set()
        try:
            await self.quay_is_free.wait()
            yield slot
        finally:
            self.slots.remove(slot)
            self.changed.set()

    async def aclose(self) -> None:
        await self.cold.aclose()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def pooled(
    *, has_room: Callable[[], bool] = lambda: True
) -> AsyncIterator[tuple[ReadyMemory, Pool]]:
    engine = ReadyMemory()
    pool = Pool(engine, has_room=has_room)
    yield engine, pool
    await pool.aclose()
    assert engine.slots == []


async def call(pool: Pool, function: Function, *args: str) -> bytes:
    invocation = Invocation(function=function, args=args)
    async with pool.start(invocation, streams.source("boat")) as container:
        collected = await streams.collect(container)
    assert collected.exit == Exit(0)
    return collected.stdout


def ready(**fields: object) -> Function:
    return replace(UPPER, ready=Ready(**fields))  # type: ignore[arg-type]


async def test_a_function_without_ready_is_started_cold() -> None:
    async with pooled() as (engine, pool):
        assert await call(pool, UPPER) == b"BOAT"
        assert (engine.started_cold, engine.slots, dict(pool.stats)) == (1, [], {})


async def test_prepare_waits_until_the_least_number_is_ready() -> None:
    async with pooled() as (engine, pool):
        await pool.prepare(ready(min=3))
        assert len(engine.slots) == 3
        assert pool.stats["upper"].ready == 3


async def test_each_ready_container_serves_one_call_and_is_replaced() -> None:
    function = ready(min=2, max=2)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        for _ in range(5):
            assert await call(pool, function) == b"BOAT"
            await engine.until(lambda: sum(slot.usable for slot in engine.slots) == 2)
        assert len(set(engine.served)) == 5
        assert engine.started_cold == 0
        stats = pool.stats["upper"]
        assert (stats.hits, stats.misses, stats.prepared) == (5, 0, 7)


async def test_a_call_that_finds_none_is_made_cold_and_the_pool_grows() -> None:
    function = ready(min=0, max=4)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        assert engine.slots == []
        assert await call(pool, function) == b"BOAT"
        assert (engine.started_cold, pool.stats["upper"].misses) == (1, 1)
        await engine.until(lambda: len(engine.slots) == 1)
        assert await call(pool, function) == b"BOAT"
        assert engine.started_cold == 1
        await engine.until(lambda: len(engine.slots) == 2)


async def test_the_pool_never_grows_beyond_its_most() -> None:
    function = ready(min=1, max=3)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        await asyncio.gather(*(call(pool, function) for _ in range(20)))
        await engine.until(lambda: sum(slot.usable for slot in engine.slots) == 3)
        await asyncio.sleep(0.02)
        assert len(engine.slots) == 3


async def test_the_pool_keeps_to_its_least_when_there_is_no_room() -> None:
    function = ready(min=1, max=8)
    async with pooled(has_room=lambda: False) as (engine, pool):
        await pool.prepare(function)
        await asyncio.gather(*(call(pool, function) for _ in range(6)))
        await engine.until(lambda: sum(slot.usable for slot in engine.slots) == 1)
        await asyncio.sleep(0.02)
        assert len(engine.slots) == 1


async def test_what_is_not_used_is_given_up_after_a_while() -> None:
    function = ready(min=1, max=8, idle=0.02)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        await asyncio.gather(*(call(pool, function) for _ in range(8)))
        await engine.until(lambda: len(engine.slots) > 1)
        await engine.until(lambda: len(engine.slots) == 1)
        assert pool.stats["upper"].discarded > 0


async def test_one_that_died_while_it_waited_is_replaced_and_never_handed_out() -> None:
    function = ready(min=2, max=2)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        dead = engine.slots[0]
        dead.die()
        await engine.until(lambda: dead not in engine.slots and len(engine.slots) == 2)
        assert await call(pool, function) == b"BOAT"
        assert dead not in engine.served


async def test_one_that_became_stale_is_never_handed_out() -> None:
    function = ready(min=1, max=1)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        stale = engine.slots[0]
        stale.usable = False
        assert await call(pool, function) == b"BOAT"
        assert stale not in engine.served
        assert engine.started_cold == 1


async def test_a_new_definition_replaces_what_was_made_from_the_old_one() -> None:
    old, new = ready(min=2, max=2), replace(ready(min=2, max=2), command=("cat",))
    async with pooled() as (engine, pool):
        await pool.prepare(old)
        assert await call(pool, new) == b"boat"
        await engine.until(
            lambda: [slot.function for slot in engine.slots if slot.usable] == [new, new]
        )
        assert await call(pool, new) == b"boat"
        assert all(slot.function == new for slot in engine.served)


async def test_a_started_program_does_not_serve_a_call_with_arguments() -> None:
    function = replace(ready(min=1, level="started"), command=("tr",))
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        assert await call(pool, function, "a-z", "A-Z") == b"BOAT"
        assert engine.started_cold == 1
        assert engine.served == []
        assert len(engine.slots) == 1


async def test_a_failure_to_make_one_costs_no_call_anything() -> None:
    function = ready(min=1)
    async with pooled() as (engine, pool):
        engine.broken = True
        await pool.prepare(function)
        assert await call(pool, function) == b"BOAT"
        assert engine.started_cold == 1


async def test_a_caller_that_leaves_frees_its_container() -> None:
    function = ready(min=1, max=1)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        first = engine.slots[0]
        with pytest.raises(asyncio.CancelledError):
            async with pool.start(Invocation(function=function), streams.source("boat")):
                raise asyncio.CancelledError
        await engine.until(lambda: first not in engine.slots)


async def test_closing_gives_up_all_that_waits_also_while_more_are_made() -> None:
    engine = ReadyMemory()
    pool = Pool(engine, has_room=lambda: True)
    await pool.prepare(ready(min=4))
    await pool.aclose()
    await pool.aclose()
    assert engine.slots == []


async def test_a_new_definition_is_waited_for_when_it_is_prepared() -> None:
    old, new = ready(min=2, max=2), replace(ready(min=3, max=3), command=("cat",))
    async with pooled() as (engine, pool):
        await pool.prepare(old)
        await pool.prepare(new)
        assert [slot.function for slot in engine.slots] == [new] * 3


async def test_what_ends_again_and_again_is_not_made_again_without_end() -> None:
    function = ready(min=1, max=1)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        first = engine.slots[0]
        first.die()
        await engine.until(lambda: first not in engine.slots and len(engine.slots) == 1)
        second = engine.slots[0]
        second.die()
        await engine.until(lambda: engine.slots == [])
        await asyncio.sleep(0.02)
        assert engine.slots == []
        assert pool.stats["upper"].prepared == 2
        assert await call(pool, function) == b"BOAT"
        assert engine.started_cold == 1


async def test_the_number_that_waits_is_right_at_any_time() -> None:
    function = ready(min=2, max=2)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        async with pool.start(Invocation(function=function), streams.NOTHING):
            assert pool.stats["upper"].ready == 1
        await engine.until(lambda: sum(slot.usable for slot in engine.slots) == 2)
        await asyncio.sleep(0)
        assert pool.stats["upper"].ready == 2


async def test_one_that_cannot_be_started_is_replaced_without_another_call() -> None:
    function = ready(min=1, max=1)
    async with pooled() as (engine, pool):
        await pool.prepare(function)
        broken = engine.slots[0]
        broken.fails = True
        with pytest.raises(EngineError, match="sank"):
            await call(pool, function)
        await engine.until(lambda: engine.slots != [] and broken not in engine.slots)


async def test_one_that_is_half_made_is_given_up_when_none_are_asked_for_any_more() -> None:
    async with pooled() as (engine, pool):
        engine.quay_is_free.clear()
        pool.define(ready(min=1))
        await engine.until(lambda: len(engine.slots) == 1)
        pool.define(ready(min=0, max=0))
        engine.quay_is_free.set()
        await engine.until(lambda: not engine.slots)
        assert pool.stats["upper"].ready == 0
