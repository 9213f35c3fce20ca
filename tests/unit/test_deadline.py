from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from wherry import streams
from wherry.errors import EngineError
from wherry.models import Exit, Function, Invocation, Limits, Output
from wherry.testing import Call, MemoryContainer, MemoryEngine
from wherry.wrappers import deadline
from wherry.wrappers.deadline import Deadline

if TYPE_CHECKING:
    from wherry.engines.base import Stdin


def invocation(*argv: str, timeout: float | None = 0.03, image: str = "busybox") -> Invocation:
    limits = Limits(timeout=timeout)
    return Invocation(function=Function(name="f", image=image, command=argv, limits=limits))


class SlowToStart(MemoryEngine):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.cancelled = False

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[MemoryContainer]:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        async with super().start(invocation, stdin) as container:
            yield container


class CannotKill(MemoryContainer):
    async def kill(self, signal: int = 9) -> None:
        raise EngineError("the engine does not answer")


async def collect(engine: MemoryEngine, call: Invocation) -> streams.Collected:
    async with Deadline(engine).start(call, streams.NOTHING) as container:
        return await streams.collect(container)


async def test_a_call_without_a_timeout_is_left_alone() -> None:
    engine = MemoryEngine()
    async with Deadline(engine).start(invocation("true", timeout=None), streams.NOTHING) as plain:
        assert isinstance(plain, MemoryContainer)


async def test_partial_output_survives_the_timeout() -> None:
    engine = MemoryEngine()
    result = await collect(engine, invocation("sh", "-c", "echo a; echo b >&2; sleep 9"))
    assert (result.stdout, result.stderr) == (b"a\n", b"b\n")
    assert result.exit == Exit(137, "timeout")
    assert engine.running == {}


async def test_the_clock_runs_while_the_container_starts() -> None:
    engine = SlowToStart(9)
    begun = asyncio.get_running_loop().time()
    async with Deadline(engine).start(invocation("true"), streams.NOTHING) as container:
        await container.kill()
        events = [event async for event in container]
        assert [event async for event in container] == []
    assert events == [Exit(None, "timeout")]
    assert engine.cancelled
    assert asyncio.get_running_loop().time() - begun < 8
    result = await collect(SlowToStart(0.02), invocation("sleep", "9", timeout=0.3))
    assert result.exit == Exit(137, "timeout")


async def test_an_exit_before_the_timeout_is_not_changed_by_it() -> None:
    engine = MemoryEngine()
    async with Deadline(engine).start(invocation("sh", "-c", "exit 3"), streams.NOTHING) as late:
        await asyncio.sleep(0.04)
        assert [event async for event in late] == [Exit(3)]


async def test_a_kill_of_the_caller_stays_a_kill() -> None:
    engine = MemoryEngine()
    async with Deadline(engine).start(invocation("sleep", "9"), streams.NOTHING) as container:
        await container.kill()
        await asyncio.sleep(0.04)
        assert [event async for event in container] == [Exit(137, "killed")]


async def test_an_error_in_the_block_comes_out_as_itself_before_and_after_the_timeout() -> None:
    for wait in (0.0, 0.04):
        engine = MemoryEngine()
        with pytest.raises(LookupError) as caught:  # noqa: PT012
            async with Deadline(engine).start(invocation("sleep", "9"), streams.NOTHING):
                await asyncio.sleep(wait)
                raise LookupError("mine")
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert engine.running == {}


async def test_a_caller_cancelled_at_any_time_leaves_nothing() -> None:
    for wait in (0.0, 0.01, 0.03, 0.04):
        engine = MemoryEngine()
        task = asyncio.create_task(collect(engine, invocation("sleep", "9")))
        await asyncio.sleep(wait)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or wait >= 0.03
        assert engine.running == {}
        assert len(asyncio.all_tasks()) == 1


async def test_an_engine_that_does_not_end_the_container_has_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deadline, "GRACE", 0.02)
    engine = MemoryEngine()
    engine.container_type = CannotKill
    with pytest.raises(EngineError, match="did not end within"):
        await collect(engine, invocation("sleep", "9"))
    assert "could not be enforced" in caplog.text


async def test_a_timeout_error_of_the_engine_is_not_taken_for_ours() -> None:
    class Broken(MemoryEngine):
        async def prepare(self, function: Function) -> None:
            raise TimeoutError("not yours")

    with pytest.raises(TimeoutError, match="not yours"):
        await collect(Broken(), invocation("true"))


async def test_a_timeout_error_of_the_source_is_not_taken_for_ours() -> None:
    async def failing() -> AsyncIterator[bytes]:
        raise TimeoutError("not yours")
        yield b""

    with pytest.raises(TimeoutError, match="not yours"):
        async with Deadline(MemoryEngine()).start(invocation("sleep", "9"), failing()) as container:
            await streams.collect(container)


async def test_a_slow_reader_gets_what_was_written_before_the_timeout() -> None:
    async def chatty(call: Call) -> None:
        await call.stdout.write(bytes(1000))
        await asyncio.sleep(9)

    engine = MemoryEngine({"chatty": chatty})
    call = invocation(image="chatty")
    async with Deadline(engine).start(call, streams.NOTHING) as container:
        await asyncio.sleep(0.04)
        events = [event async for event in container]
    assert events == [Output("stdout", bytes(1000)), Exit(137, "timeout")]


async def test_closing_and_preparing_go_through() -> None:
    engine = MemoryEngine()
    wrapper = Deadline(engine)
    await wrapper.prepare(Function(name="f", image="busybox"))
    assert engine.prepared == ["busybox"]
    await wrapper.aclose()
    with pytest.raises(EngineError, match="closed"):
        await collect(engine, invocation("true"))
