"""A running coroutine, seen as a container."""

from __future__ import annotations

import asyncio
import contextlib
import signal as signals
import traceback
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from wherry import streams
from wherry.engines.memory.call import Call, Program
from wherry.engines.memory.pipe import Pipe
from wherry.errors import (
    EngineError,
    StartError,
)
from wherry.models import Exit, Invocation, Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin

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
        self._untold: BaseException | None = None
        self._program = program
        self._task: asyncio.Task[None] | None = None
        self._feeder: asyncio.Task[None] | None = None
        function = invocation.function
        self.call = Call(
            invocation=invocation,
            argv=(
                *function.around,
                *(function.entrypoint or ()),
                *function.command,
                *invocation.args,
            ),
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

    @property
    def source_error(self) -> BaseException | None:
        """What the source raised while the program ran, if no reader was told."""
        return self._untold

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
            self._untold = None
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
            with contextlib.suppress(BrokenPipeError):
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
            self._fail_source(error)

    async def _feed_one(self, source: AsyncIterator[bytes]) -> bool:
        try:
            chunk = await anext(source)
        except StopAsyncIteration:
            self.call.stdin.close()
            return False
        except (Exception, asyncio.CancelledError) as error:
            if _being_cancelled():
                raise
            self._fail_source(error)
            return False
        try:
            await self.call.stdin.write(chunk)
        except BrokenPipeError:  # the program has closed its stdin: nothing more is pulled
            return False
        return True

    def _fail_source(self, error: BaseException) -> None:
        if not self._ended.is_set():
            self._untold = error
        self.fail(error)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
