"""An engine whose containers are coroutines: a fake with behaviour, for tests.

It keeps the whole contract of :mod:`wherry.engines.base` (bounded pipes, half-close, kill,
nothing left behind), so code that is right with it is right with a real engine.
"""

from __future__ import annotations

import asyncio
import signal as signals
import traceback
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry import streams
from wherry.engines.applets import busybox
from wherry.engines.call import Call, Program
from wherry.engines.pipe import Pipe
from wherry.errors import (
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    StartError,
    Unsupported,
    UsageError,
)
from wherry.models import Exit, Function, Invocation, Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin

__all__ = ["Call", "MemoryContainer", "MemoryEngine", "Program"]

_HARMLESS = {0, signals.SIGCHLD, signals.SIGCONT, signals.SIGURG, signals.SIGWINCH}


class MemoryContainer:
    """One running coroutine, seen as a container."""

    def __init__(self, invocation: Invocation, program: Program) -> None:
        self._pending: deque[Event] = deque()
        self._over = False
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._exit: Exit | None = None
        self._fatal: Exit | None = None
        self._failure: BaseException | None = None
        self._program = program
        self._task: asyncio.Task[None] | None = None
        self._feeder: asyncio.Task[None] | None = None
        function = invocation.function
        self.call = Call(
            invocation=invocation,
            argv=(*(function.entrypoint or ()), *function.command, *invocation.args),
            env={**function.env, **invocation.env},
            stdin=Pipe(),
            stdout=Pipe(changed=self._news.set),
            stderr=Pipe(changed=self._news.set),
        )

    @property
    def id(self) -> str:
        """The invocation's id."""
        return self.call.invocation.id

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._pending and not self._over:
            self._news.clear()
            self._take()
            if self.call.stdout.exhausted and self.call.stderr.exhausted:
                await self._ended.wait()
                self._over = True
                self._pending.append(self._last())
            elif not self._pending:
                await self._news.wait()
        if not self._pending:
            raise StopAsyncIteration
        return self._pending.popleft()

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal: the program's trap gets it, else it ends the program."""
        if self._ended.is_set() or signal in _HARMLESS:
            return
        if signal in self.call.trapped and signal != signals.SIGKILL:
            self.call.trapped[signal].set()
            return
        self._fatal = self._fatal or Exit(128 + signal, "killed")
        self._stop()

    def fail(self, error: BaseException) -> None:
        """End the container without an exit: whoever iterates it gets ``error``."""
        self._failure = self._failure or error
        self._stop()

    def launch(self, group: asyncio.TaskGroup, stdin: Stdin) -> None:
        """Start the program and the task that pulls its stdin."""
        self._task = group.create_task(self._run())
        self._feeder = group.create_task(self._feed(stdin))

    async def started(self) -> None:
        """Let the program run up to its first wait; raises its :class:`StartError`."""
        await asyncio.sleep(0)
        if isinstance(self._failure, StartError):
            raise self._failure

    def release(self) -> None:
        """Stop whatever still runs, because the caller has left the block."""
        for task in (self._task, self._feeder):
            if task is not None:
                task.cancel()

    def _take(self) -> None:
        if data := self.call.stdout.take():
            self._pending.append(Output("stdout", data))
        if data := self.call.stderr.take():
            self._pending.append(Output("stderr", data))

    def _last(self) -> Exit:
        if self._failure is not None:
            raise self._failure
        if self._exit is None:
            raise EngineError(f"container {self.id} ended without an exit")
        return self._exit

    async def _run(self) -> None:
        try:
            self._exit = await self._outcome()
        except asyncio.CancelledError:
            self._exit = self._fatal or Exit(128 + signals.SIGKILL, "killed")
        finally:
            self._close()

    async def _outcome(self) -> Exit:
        try:
            return exit_from_code((await self._program(self.call) or 0) & 0xFF)
        except SystemExit as left:
            return Exit(left.code if isinstance(left.code, int) else int(left.code is not None))
        except StartError as error:
            self._failure = error
            return Exit(None)
        except BrokenPipeError:
            return Exit(128 + signals.SIGPIPE, "signal")
        except MemoryError:
            return Exit(128 + signals.SIGKILL, "oom")
        except Exception:  # noqa: BLE001 - a program that crashes, as Python reports it
            await self.call.stderr.write(traceback.format_exc().encode())
            return Exit(1)

    def _close(self) -> None:
        self.call.stdin.discard()
        self.call.stdout.close()
        self.call.stderr.close()
        if self._feeder is not None:
            self._feeder.cancel()
        self._ended.set()

    async def _feed(self, stdin: Stdin) -> None:
        source = aiter(stdin)
        try:
            while await self._feed_one(source):
                pass
        finally:
            await self._finish(source)

    async def _finish(self, source: AsyncIterator[bytes]) -> None:
        try:
            await streams.close(source)
        except Exception as error:  # noqa: BLE001 - the source's, so it comes out as itself
            self.fail(error)

    async def _feed_one(self, source: AsyncIterator[bytes]) -> bool:
        try:
            chunk = await anext(source)
        except StopAsyncIteration:
            self.call.stdin.close()
            return False
        except (Exception, asyncio.CancelledError) as error:
            if _being_cancelled():
                raise
            self.fail(error)
            return False
        try:
            await self.call.stdin.write(chunk)
        except BrokenPipeError:  # the program has closed its stdin: nothing more is pulled
            return False
        return True

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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

    def fail(self, reason: str) -> None:
        """Break: what runs ends with :class:`EngineError`, and nothing starts any more."""
        self._broken = EngineError(reason)
        for container in self.running.values():
            container.fail(self._broken)

    async def aclose(self) -> None:
        """End what still runs."""
        self.fail("the memory engine is closed")
