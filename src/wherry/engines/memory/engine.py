"""An engine whose containers are coroutines: a fake with behaviour, for tests.

It keeps the whole contract of :mod:`wherry.engines.base` (bounded pipes, half-close, kill,
nothing left behind), so code that is right with it is right with a real engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry import streams
from wherry.engines.memory.applets import busybox
from wherry.engines.memory.container import MemoryContainer
from wherry.errors import (
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    Unsupported,
    UsageError,
)

if TYPE_CHECKING:
    from wherry.engines.base import Stdin
    from wherry.engines.memory.call import Program
    from wherry.models import Function, Invocation


class MemoryEngine:
    """Runs async functions as if they were images; ``busybox`` is there from the start.

    ``programs`` maps an image's name to ``async def program(call: Call) -> int | None``. What a
    program raises ends it as it would end a process: an exception is a traceback on stderr and
    exit code 1, ``SystemExit`` its code, ``MemoryError`` the death by the memory limit, and
    writing to a stream nobody reads SIGPIPE. A program must not swallow its cancellation, which
    is how it is killed.
    """

    container_type: type[MemoryContainer] = MemoryContainer

    def __init__(
        self, programs: Mapping[str, Program] | None = None, *, streams_stdin: bool = True
    ) -> None:
        self.programs: dict[str, Program] = {"busybox": busybox, **(programs or {})}
        self.running: dict[str, MemoryContainer] = {}
        """The containers of this moment, by invocation id."""
        self.prepared: list[str] = []
        """Images in the order they were prepared."""
        self._streams_stdin = streams_stdin
        self._broken: EngineError | None = None

    @classmethod
    def connect(cls, spec: str) -> MemoryEngine:
        """Return a new engine; ``memory`` has no addresses."""
        if spec not in {"memory", "memory:"}:
            raise UsageError(f"engine {spec!r}: nothing follows 'memory'")
        return cls()

    async def prepare(self, function: Function) -> None:
        """Raise what a first call would: an unknown image, an option that needs real files."""
        if self._broken is not None:
            raise EngineUnavailable(str(self._broken)) from self._broken
        if function.image not in self.programs:
            known = ", ".join(sorted(self.programs))
            raise ImageNotFound(
                f"the memory engine has no image {function.image!r}; it has {known}"
            )
        if function.collect:
            raise Unsupported(f"collect: the memory engine of {function.name!r} has no files")
        self.prepared.append(function.image)

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[MemoryContainer]:
        """Run the image's program for one call."""
        if not self._streams_stdin and stdin is not streams.NOTHING:
            raise Unsupported("input: this engine cannot stream stdin")
        await self.prepare(invocation.function)
        container = self.container_type(invocation, self.programs[invocation.function.image])
        group = asyncio.TaskGroup()
        await group.__aenter__()
        self.running[invocation.id] = container
        container.launch(group, stdin)
        try:
            await container.started()
            yield container
        finally:
            # The group never sees the block's own error, so that error comes out as itself.
            container.release()
            await group.__aexit__(None, None, None)
            del self.running[invocation.id]
        if container.source_error is not None:
            raise container.source_error

    def fail(self, reason: str) -> None:
        """Break: what runs ends with :class:`EngineError`, and nothing starts any more."""
        self._broken = EngineError(reason)
        for container in self.running.values():
            container.fail(self._broken)

    async def aclose(self) -> None:
        """End what still runs."""
        self.fail("the memory engine is closed")
