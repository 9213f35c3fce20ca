"""The protocol of an engine: its docstrings are the specification.

``tests/contract`` is the same specification as a suite that every engine passes.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from wherry.models import Exit, Function, Invocation, Output

Event = Output | Exit
Stdin = AsyncIterable[bytes]


class Container(Protocol):
    """One running invocation."""

    @property
    def id(self) -> str:
        """The invocation's id, which the container carries where a reaper can find it."""
        ...

    def __aiter__(self) -> AsyncIterator[Event]:
        """Yield :class:`Output` as the program writes, then one :class:`Exit`, last.

        Pulled: while nobody iterates, the program blocks as soon as the pipes between are full
        (at most 1 MiB), and stdin is still fed. Exit comes after all output of both streams,
        whichever of them closed first. A container is iterated once. Raises what the stdin
        source raised, as itself, after the container was killed; raises :class:`EngineError`
        when the engine failed: no exit code is ever invented, a cut stream is an error.
        """
        ...

    async def kill(self, signal: int = signal.SIGKILL) -> None:
        """Send a signal to the program. Harmless if it has already exited.

        SIGKILL ends everything in the container, and its Exit says ``killed``.
        """
        ...


class Slot(Protocol):
    """A ready container: it exists before its call, and serves exactly one."""

    @property
    def usable(self) -> bool:
        """Whether a call can still have it: alive, and made from today's image and sources."""
        ...

    async def ended(self) -> None:
        """Wait until the container has ended although no call was started in it."""
        ...

    def serves(self, invocation: Invocation) -> bool:
        """Whether this call would see no difference to a container made for it alone."""
        ...

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        """Start the call, once; as :meth:`Engine.start`."""
        ...


class Engine(Protocol):
    """A place that runs containers."""

    async def prepare(self, function: Function) -> None:
        """Do what a first call would wait for: pull, unpack, deploy. Idempotent.

        Raises :class:`UsageError` or :class:`Unsupported` for a function this engine cannot
        run, :class:`ImageError` when its image cannot be had.
        """
        ...

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        """Start a container for one call; leaving the block in any way kills and removes it.

        ``stdin`` is pulled by the engine, and its end is the end of the program's stdin: a
        half-close, output goes on. A program that exits without reading ends the invocation
        even if the source is endless or silent. Cleaning up is shielded from cancellation and
        bounded in time; nothing is left behind, though what a container that ended by itself
        leaves to be taken apart may be so up to :meth:`aclose`. An error raised in the block
        comes out as itself. Raises as :meth:`prepare` does, :class:`StartError` when the program
        cannot be started, :class:`EngineError` when the engine fails.
        """
        ...

    async def aclose(self) -> None:
        """End what still runs and free everything the engine holds. Idempotent."""
        ...


@runtime_checkable
class ReadyEngine(Engine, Protocol):
    """An engine that can keep containers ready."""

    def reserve(self, function: Function) -> AbstractAsyncContextManager[Slot]:
        """Make a container of ``function.ready.level``; leaving the block removes it.

        Raises as :meth:`Engine.prepare` does.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one container takes."""

    id: str
    """Of its invocation."""
    cpu_seconds: float
    """Since it exists."""
    memory: int
    """Bytes now, without the files that are only cached."""


@runtime_checkable
class UsageEngine(Engine, Protocol):
    """An engine that knows what its containers take."""

    async def usage(self, function: str) -> Sequence[Usage]:
        """Return what each container of the functions of this name takes: that runs, or is ready.

        Those of this engine only, not of other processes. Raises :class:`EngineError`.
        """
        ...
