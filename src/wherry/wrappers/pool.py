"""Ready containers: made before their calls, each for one call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

from wherry.wrappers.berth import Berth, PoolStats, plenty_of_memory
from wherry.wrappers.usage import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.engines.base import Container, ReadyEngine, Stdin, Usage
    from wherry.models import Function, Invocation


class Pool:
    """An engine that keeps containers of functions with ``ready`` waiting for their calls.

    A call takes a container that waits, in constant time; when none does, it is made cold at
    once, and the pool learns to keep more. A container made from an older image, definition or
    secret is never handed out. Whatever fails while containers are made ready costs no call
    anything: it is made cold, and hears of the failure itself.
    """

    def __init__(
        self,
        engine: ReadyEngine,
        *,
        has_room: Callable[[], bool] = plenty_of_memory,
    ) -> None:
        """``has_room`` is asked before each container that is more than the least."""
        self._engine = engine
        self._has_room = has_room
        self._berths: dict[str, Berth] = {}

    @property
    def stats(self) -> Mapping[str, PoolStats]:
        """How each function's ready containers did until now."""
        return {name: berth.stats for name, berth in self._berths.items()}

    async def prepare(self, function: Function) -> None:
        """Prepare, and wait until the least number of containers is ready."""
        await self._engine.prepare(function)
        if function.ready is not None:
            await self._berth(function).filled()

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        """Start the call in a container that waits for it, or in a new one."""
        if invocation.function.ready is None:
            return self._engine.start(invocation, stdin)
        return self._start(invocation, stdin)

    def define(self, function: Function) -> None:
        """Keep ready what the function asks for from now on, without waiting for it."""
        if function.ready is not None and (function.ready.max or function.name in self._berths):
            self._berth(function)

    async def forget(self, name: str) -> None:
        """Give up what waits for calls of a function that is no more."""
        if (berth := self._berths.pop(name, None)) is not None:
            await berth.aclose()

    async def usage(self, function: str) -> Sequence[Usage]:
        """Return what the wrapped engine tells; see :class:`wherry.engines.base.UsageEngine`."""
        return await usage_of(self._engine, function)

    async def aclose(self) -> None:
        """Give up what waits, then close the wrapped engine."""
        for berth in self._berths.values():
            await berth.aclose()
        await self._engine.aclose()

    @asynccontextmanager
    async def _start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[Container]:
        asked = monotonic()
        berth = self._berth(invocation.function)
        held = berth.take(invocation)
        if held is None:
            async with self._engine.start(invocation, stdin) as container:
                berth.missed(waited=monotonic() - asked)
                yield container
            return
        async with held, AsyncExitStack() as stack:
            try:
                call = held.slot.start(held.own(invocation), stdin)
                container = await stack.enter_async_context(call)
            finally:  # also one that cannot be started is used up, and to be replaced
                berth.hit(waited=monotonic() - asked)
            yield container

    def _berth(self, function: Function) -> Berth:
        berth = self._berths.get(function.name)
        if berth is None:
            berth = Berth(self._engine, function, has_room=self._has_room)
            self._berths[function.name] = berth
        berth.define(function)
        return berth
