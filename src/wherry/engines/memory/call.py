"""What a program of the memory engine sees of the world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.memory.pipe import Pipe
    from wherry.models import Invocation


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a program that is a coroutine.

    ``stdin`` is read with ``await call.stdin.read(n)`` or ``async for chunk in call.stdin``;
    ``await call.stdout.write(data)`` waits while nobody reads, as a pipe does.
    """

    invocation: Invocation
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdin: Pipe
    stdout: Pipe
    stderr: Pipe
    trapped: dict[int, asyncio.Event] = field(default_factory=dict)

    def trap(self, signal: int) -> asyncio.Event:
        """Stop ``signal`` from ending this program; the event is set when it arrives."""
        return self.trapped.setdefault(signal, asyncio.Event())


Program = Callable[[Call], Awaitable[int | None]]
"""Returns its exit code; None is 0. See :class:`wherry.engines.memory.MemoryEngine`."""
