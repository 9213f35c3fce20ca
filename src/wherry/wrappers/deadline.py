"""A call's timeout, counted from the call itself: waiting, pulling and starting included."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal as signals
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.models import Exit, Function, Invocation
from wherry.wrappers.usage import usage_of

if TYPE_CHECKING:
    from wherry.engines.base import Container, Engine, Event, Stdin, Usage

_log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that an engine has to end a container it was told to kill."""


class Deadline:
    """An engine that ends each call at its ``limits.timeout``.

    A timeout is a fact about the result: the container is killed, what it wrote so far is still
    read, and its :class:`Exit` says ``timeout``. A call whose container had not even started by
    then has an Exit without a code. Raises :class:`EngineError` when the wrapped engine does not
    end the container within :data:`GRACE`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def prepare(self, function: Function) -> None:
        """Prepare; no timeout of a call applies."""
        await self._engine.prepare(function)

    def start(
        self, invocation: Invocation, stdin: Stdin, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[Container]:
        """Start, with the clock running from now on; ``timeout`` goes before the function's."""
        timeout = invocation.function.limits.timeout if timeout is None else timeout
        if timeout is None:
            return self._engine.start(invocation, stdin)
        return self._timed(invocation, stdin, deadline=asyncio.get_running_loop().time() + timeout)

    async def usage(self, function: str) -> Sequence[Usage]:
        """Return what the wrapped engine tells; see :class:`wherry.engines.base.UsageEngine`."""
        return await usage_of(self._engine, function)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()

    @asynccontextmanager
    async def _timed(
        self, invocation: Invocation, stdin: Stdin, *, deadline: float
    ) -> AsyncIterator[Container]:
        async with AsyncExitStack() as stack:
            starting = asyncio.timeout_at(deadline)
            try:
                async with starting:
                    container: Container = await stack.enter_async_context(
                        self._engine.start(invocation, stdin)
                    )
            except TimeoutError:
                if not starting.expired():
                    raise
                container = _NeverStarted(invocation.id)
            else:
                timed = _TimedContainer(container, deadline=deadline)
                container = await stack.enter_async_context(timed.watched())
            yield container


class _TimedContainer:
    def __init__(self, container: Container, *, deadline: float) -> None:
        self._container = container
        self._events = aiter(container)
        self._deadline = deadline
        self._expired = False
        self._killed_before = False

    @property
    def id(self) -> str:
        return self._container.id

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Container]:
        """Kill the container when its time is over, whether anybody reads it or not."""
        tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        killing: list[asyncio.Task[None]] = []
        timer = asyncio.get_running_loop().call_at(
            self._deadline, lambda: killing.append(tasks.create_task(self._expire()))
        )
        try:
            yield self
        finally:
            # The group never sees the block's own error, so that error comes out as itself.
            timer.cancel()
            for task in killing:
                task.cancel()
            await tasks.__aexit__(None, None, None)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        clock = asyncio.get_running_loop().time
        patience = asyncio.timeout_at(max(self._deadline, clock()) + GRACE)
        try:
            async with patience:
                event = await anext(self._events)
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise EngineError(
                f"container {self.id} did not end within {GRACE:g} s of its timeout"
            ) from error
        if self._expired and isinstance(event, Exit) and event.reason == "killed":
            return dataclasses.replace(event, reason="timeout")
        return event

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        self._killed_before = self._killed_before or signal == signals.SIGKILL
        await self._container.kill(signal)

    async def _expire(self) -> None:
        self._expired = not self._killed_before
        try:
            await self._container.kill()
        except EngineError:  # a reader hears of it when the container does not end
            _log.exception("a timeout could not be enforced", extra={"container": self.id})


class _NeverStarted:
    """What is left of a call whose time was over before its container ran."""

    def __init__(self, id: str) -> None:  # noqa: A002 - as in the protocol
        self._id = id
        self._over = False

    @property
    def id(self) -> str:
        return self._id

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._over:
            raise StopAsyncIteration
        self._over = True
        return Exit(None, "timeout")

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Do nothing: there is no program."""
