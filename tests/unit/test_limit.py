from __future__ import annotations

import asyncio

import pytest

from wherry import streams
from wherry.errors import EngineError
from wherry.models import Exit, Function, Invocation, Limits, Output
from wherry.testing import Call, MemoryContainer, MemoryEngine
from wherry.wrappers.gate import Gate
from wherry.wrappers.limit import Limit


def invocation(
    *argv: str,
    name: str = "f",
    image: str = "busybox",
    concurrency: int | None = None,
    stdout: int | None = None,
) -> Invocation:
    function = Function(
        name=name,
        image=image,
        command=argv,
        concurrency=concurrency,
        limits=Limits(stdout=stdout),
    )
    return Invocation(function=function)


class Counting:
    """A program that says how many of it run at one time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.order: list[str] = []
        self.go_on = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        self.order.append(call.argv[0])
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go_on.wait()
        finally:
            self.now -= 1


async def collect(engine: Limit, call: Invocation) -> streams.Collected:
    async with engine.start(call, streams.NOTHING) as container:
        return await streams.collect(container)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_call_without_limits_is_left_alone() -> None:
    async with Limit(MemoryEngine()).start(invocation("true"), streams.NOTHING) as plain:
        assert isinstance(plain, MemoryContainer)


async def test_calls_above_the_concurrency_wait_in_the_order_they_came() -> None:
    program = Counting()
    engine = Limit(MemoryEngine({"count": program}))
    async with asyncio.TaskGroup() as group:
        for number in range(6):
            call = invocation(str(number), image="count", concurrency=2)
            group.create_task(collect(engine, call))
        await settle()
        assert program.order == ["0", "1"]
        program.go_on.set()
    assert program.most == 2
    assert program.order == [str(number) for number in range(6)]
    assert engine._gates == {}


async def test_functions_of_different_names_do_not_wait_for_each_other() -> None:
    program = Counting()
    engine = Limit(MemoryEngine({"count": program}))
    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "a"):
            call = invocation(name, name=name, image="count", concurrency=1)
            group.create_task(collect(engine, call))
        await settle()
        assert program.order == ["a", "b"]
        program.go_on.set()


async def test_a_waiting_caller_that_leaves_frees_its_place() -> None:
    program = Counting()
    engine = Limit(MemoryEngine({"count": program}))
    calls = [
        asyncio.create_task(collect(engine, invocation(str(n), image="count", concurrency=1)))
        for n in range(3)
    ]
    await settle()
    calls[1].cancel()
    await settle()
    assert calls[1].cancelled()
    assert program.order == ["0"]
    program.go_on.set()
    await asyncio.wait(calls)
    assert program.order == ["0", "2"]
    assert engine._gates == {}


async def test_a_call_that_fails_to_start_frees_its_place() -> None:
    engine = Limit(MemoryEngine())
    for _ in range(3):
        with pytest.raises(LookupError):
            async with engine.start(invocation("cat", concurrency=1), streams.NOTHING):
                raise LookupError
    assert (await collect(engine, invocation("true", concurrency=1))).exit == Exit(0)
    assert engine._gates == {}


async def test_a_place_given_to_a_caller_that_just_left_is_passed_on() -> None:
    gate = Gate()
    await gate.enter(1)
    first = asyncio.create_task(gate.enter(1))
    second = asyncio.create_task(gate.enter(1))
    await settle()
    gate.leave()
    first.cancel()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert second.done()
    assert not second.cancelled()
    assert not gate.idle
    gate.leave()
    assert gate.idle


async def test_nobody_overtakes_those_who_wait() -> None:
    gate = Gate()
    await gate.enter(1)
    waiting = asyncio.create_task(gate.enter(1))
    await settle()
    late = asyncio.create_task(gate.enter(2))
    await settle()
    assert not late.done()
    gate.leave()
    await waiting
    gate.leave()
    await late


@pytest.mark.parametrize("limit", [1, 10, 70_000])
async def test_stdout_is_cut_at_its_limit_and_the_reason_says_so(limit: int) -> None:
    engine = Limit(MemoryEngine())
    result = await collect(engine, invocation("yes", stdout=limit))
    assert result.stdout == (b"y\n" * 35_000)[:limit]
    assert result.exit == Exit(137, "output")


async def test_output_of_exactly_the_limit_is_not_above_it() -> None:
    result = await collect(Limit(MemoryEngine()), invocation("echo", "-n", "12345", stdout=5))
    assert (result.stdout, result.exit) == (b"12345", Exit(0))


async def test_a_program_that_ends_before_its_kill_has_exceeded_all_the_same() -> None:
    result = await collect(Limit(MemoryEngine()), invocation("echo", "-n", "123456", stdout=5))
    assert result.stdout == b"12345"
    assert result.exit.reason == "output"
    assert not result.exit.ok


async def test_stderr_is_not_limited() -> None:
    engine = Limit(MemoryEngine())
    call = invocation("sh", "-c", "echo out; echo long enough >&2", stdout=4)
    result = await collect(engine, call)
    assert (result.stdout, result.stderr, result.exit) == (b"out\n", b"long enough\n", Exit(0))


async def test_a_limited_container_can_be_killed() -> None:
    engine = Limit(MemoryEngine())
    call = invocation("sh", "-c", "echo out; sleep 9", stdout=100)
    async with engine.start(call, streams.NOTHING) as container:
        assert container.id == call.id
        events = aiter(container)
        assert await anext(events) == Output("stdout", b"out\n")
        await container.kill()
        assert [event async for event in events] == [Exit(137, "killed")]


async def test_closing_and_preparing_go_through() -> None:
    engine = MemoryEngine()
    wrapper = Limit(engine)
    await wrapper.prepare(Function(name="f", image="busybox"))
    assert engine.prepared == ["busybox"]
    await wrapper.aclose()
    with pytest.raises(EngineError, match="closed"):
        await collect(wrapper, invocation("true"))
