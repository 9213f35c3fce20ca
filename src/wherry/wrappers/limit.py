"""Limits that need no kernel: calls of one function at a time, bytes of stdout."""

from __future__ import annotations

import dataclasses
import signal as signals
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from wherry.models import Exit, Function, Invocation, Output
from wherry.wrappers.gate import Gate
from wherry.wrappers.usage import usage_of

if TYPE_CHECKING:
    from wherry.engines.base import Container, Engine, Event, Stdin, Usage


class Limit:
    """An engine that keeps ``Function.concurrency`` and ``Limits.stdout``.

    Calls above a function's concurrency wait in the order they came; functions are told apart by
    their name. A container that writes more to stdout than its limit is killed, its stdout is
    cut at the limit, and its :class:`Exit` says ``output``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gates: dict[str, Gate] = {}

    async def prepare(self, function: Function) -> None:
        """Prepare; nothing is limited."""
        await self._engine.prepare(function)

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        """Start as soon as the function has a place free."""
        function = invocation.function
        if function.concurrency is None and function.limits.stdout is None:
            return self._engine.start(invocation, stdin)
        return self._limited(invocation, stdin)

    async def usage(self, function: str) -> Sequence[Usage]:
        """Return what the wrapped engine tells; see :class:`wherry.engines.base.UsageEngine`."""
        return await usage_of(self._engine, function)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()

    @asynccontextmanager
    async def _limited(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[Container]:
        function = invocation.function
        async with (
            self._place(function.name, function.concurrency),
            self._engine.start(invocation, stdin) as container,
        ):
            limit = function.limits.stdout
            yield container if limit is None else _LimitedContainer(container, limit)

    @asynccontextmanager
    async def _place(self, name: str, places: int | None) -> AsyncIterator[None]:
        if places is None:
            yield
            return
        gate = self._gates.setdefault(name, Gate())
        try:
            await gate.enter(places)
            try:
                yield
            finally:
                gate.leave()
        finally:
            if gate.idle and self._gates.get(name) is gate:
                del self._gates[name]


class _LimitedContainer:
    def __init__(self, container: Container, limit: int) -> None:
        self._container = container
        self._events = aiter(container)
        self._left = limit
        self._exceeded = False

    @property
    def id(self) -> str:
        return self._container.id

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while True:
            match await anext(self._events):
                case Output("stdout", data):
                    if kept := await self._within_limit(data):
                        return Output("stdout", kept)
                case Exit() as ended if self._exceeded:
                    return dataclasses.replace(ended, reason="output")
                case event:
                    return event

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        await self._container.kill(signal)

    async def _within_limit(self, data: bytes) -> bytes:
        kept = data[: self._left]
        self._left -= len(kept)
        if len(kept) < len(data) and not self._exceeded:
            self._exceeded = True
            await self._container.kill()
        return kept
