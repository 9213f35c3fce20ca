"""Memory engines that are each broken in one way, to prove that the contract notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from wherry.models import Exit, Invocation, Output
from wherry.testing import MemoryContainer, MemoryEngine, Program

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin


class NeverEndsStdin(MemoryContainer):
    def __init__(self, invocation: Invocation, program: Program) -> None:
        super().__init__(invocation, program)
        self.call.stdin.close = lambda: None  # type: ignore[method-assign]


class ClosesOutputWithStdin(MemoryContainer):
    def __init__(self, invocation: Invocation, program: Program) -> None:
        super().__init__(invocation, program)
        close = self.call.stdin.close

        def close_all() -> None:
            close()
            self.call.stdout.close()
            self.call.stderr.close()

        self.call.stdin.close = close_all  # type: ignore[method-assign]


class InventsExits(MemoryContainer):
    def _last(self) -> Exit:
        return self._exit or Exit(137)


class ExitsBeforeItsOutput(MemoryContainer):
    async def __anext__(self) -> Event:
        if self._ended.is_set() and not self._over:
            self._over = True
            return self._last()
        return await super().__anext__()


class SwallowsSourceErrors(MemoryContainer):
    async def _feed_one(self, source: AsyncIterator[bytes]) -> bool:
        try:
            chunk = await anext(source)
        except Exception:
            self.call.stdin.close()
            return False
        await self.call.stdin.write(chunk)
        return True


class ReadsOneStreamFirst(MemoryContainer):
    def _take(self) -> None:
        if data := self.call.stdout.take():
            self._pending.append(Output("stdout", data))
        if self.call.stdout.exhausted and (data := self.call.stderr.take()):
            self._pending.append(Output("stderr", data))


class MixesStreams(MemoryContainer):
    def _take(self) -> None:
        for pipe in (self.call.stdout, self.call.stderr):
            if data := pipe.take():
                self._pending.append(Output("stdout", data))


class BuffersWithoutLimit(MemoryContainer):
    def __init__(self, invocation: Invocation, program: Program) -> None:
        super().__init__(invocation, program)
        for pipe in (self.call.stdin, self.call.stdout, self.call.stderr):
            pipe._limit = 1 << 40


class HidesOutOfMemory(MemoryContainer):
    def _last(self) -> Exit:
        return Exit(super()._last().code)


class KillsOnlyOnce(MemoryContainer):
    async def kill(self, signal: int = 9) -> None:
        if self._fatal is not None or self._ended.is_set():
            raise ProcessLookupError
        await super().kill(signal)


class ForgetsItsId(MemoryContainer):
    @property
    def id(self) -> str:
        return "container-1"


class WaitsForStdin(MemoryContainer):
    async def __anext__(self) -> Event:
        event = await super().__anext__()
        if isinstance(event, Exit) and self._feeder is not None:
            await asyncio.wait([self._feeder])
        return event

    def _close(self) -> None:
        feeder, self._feeder = self._feeder, None
        super()._close()
        self._feeder = feeder


class _Unowned:
    """Starts tasks that nobody waits for."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]


class LeaksWhenLeftByAnError(MemoryEngine):
    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[MemoryContainer]:
        container = MemoryContainer(invocation, self.programs[invocation.function.image])
        unowned = _Unowned()
        container.launch(cast("asyncio.TaskGroup", unowned), stdin)
        yield container
        container.release()
        await asyncio.wait(unowned.tasks)


class GroupsErrors(MemoryEngine):
    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[MemoryContainer]:
        async with asyncio.TaskGroup(), super().start(invocation, stdin) as container:
            yield container


def engine_of(container_type: type[MemoryContainer]) -> MemoryEngine:
    engine = MemoryEngine()
    engine.container_type = container_type
    return engine
