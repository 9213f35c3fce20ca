"""An engine as the contract sees it: the engine, and what only its own tests can know of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wherry import streams
from wherry.models import CHUNK, Function, Invocation, Limits

if TYPE_CHECKING:
    from tests.support.programs import Program

    from wherry.engines.base import Container, Engine, Stdin


@dataclass(frozen=True, kw_only=True)
class Harness:
    """One engine with an image named ``busybox``.

    To add an engine: one function that yields a Harness, one line in ``conftest.py``.
    """

    name: str
    engine: Engine
    leftovers: Callable[[], Awaitable[list[str]]]
    """What the engine's containers have left on the machine: processes, mounts, directories…"""
    ids: Callable[[], Awaitable[set[str]]]
    """The invocation ids that a reaper finds now, looking from outside of the engine object."""
    cut: Callable[[Container], Awaitable[None]]
    """Make the engine fail under a running container: end its daemon, connection, sandbox…"""
    unavailable: Callable[[], Engine]
    """Return an engine of this kind that cannot work: no daemon, no runtime…"""
    image: str = "busybox"
    patience: float = 15.0
    """Seconds after which a test of the contract has failed, so that nothing hangs."""
    timeout: float = 0.4
    """Seconds in which this engine has started a container for certain."""
    in_flight: int = 4 * 1024 * 1024
    """Bytes that may be on their way in one direction: kernel, daemon and engine together."""
    at_once: int = 200
    streams_stdin: bool = True
    """False: every start with input raises Unsupported, and the contract asserts that."""
    cannot_tell_oom: str | None = None
    """Why a memory limit cannot be kept here; start then raises Unsupported, as asserted."""

    def invocation(
        self, program: Program, *, limits: Limits | None = None, **fields: Any
    ) -> Invocation:
        function = Function(
            name="contract",
            image=self.image,
            command=program.argv,
            limits=limits or Limits(),
            **fields,
        )
        return Invocation(function=function)

    def start(
        self, program: Program, stdin: Stdin = streams.NOTHING
    ) -> AbstractAsyncContextManager[Container]:
        return self.engine.start(self.invocation(program), stdin)

    async def run(self, program: Program, stdin: Stdin = streams.NOTHING) -> streams.Collected:
        async with self.start(program, stdin) as container:
            return await streams.collect(container)

    def around(self, wrap: Callable[[Engine], Engine]) -> Harness:
        """Return the same harness with the engine inside of a wrapper."""
        return replace(self, engine=wrap(self.engine))


Test = TypeVar("Test", bound=Callable[..., Coroutine[Any, Any, None]])


def bounded(test: Test) -> Test:
    """Fail a test of the contract when the harness's patience is over: nothing may hang."""

    @functools.wraps(test)
    async def within_patience(harness: Harness, **parameters: Any) -> None:
        async with asyncio.timeout(harness.patience):
            await test(harness, **parameters)

    return cast("Test", within_patience)


async def endless(sent: list[int] | None = None) -> AsyncIterator[bytes]:
    """Yield zeros for ever, and count the bytes that were taken in ``sent[0]``."""
    chunk = bytes(CHUNK)
    while True:
        yield chunk
        if sent is not None:
            sent[0] += len(chunk)
        await asyncio.sleep(0)


async def silent() -> AsyncIterator[bytes]:
    """Never yield and never end, as a terminal nobody types at."""
    await asyncio.Event().wait()
    yield b""
