"""One container, as :class:`asyncio.subprocess.Process` shows a process."""

from __future__ import annotations

import asyncio
import signal as signals
import subprocess
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wherry import streams
from wherry.errors import EngineError, UsageError
from wherry.models import Exit, Invocation, Output
from wherry.process.demand import Demand
from wherry.process.ends import Reader, Writer
from wherry.process.targets import PIPE, STDOUT, Source, Target, Write, source_of, write_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.engines.base import Container, Engine

_PATIENCE = 10.0
"""Seconds that a killed container has to say how it ended."""


class Process:
    """One invocation, as :class:`asyncio.subprocess.Process` shows a process.

    ``stdin`` is PIPE, or anything that :func:`wherry.streams.source` takes; ``stdout`` and
    ``stderr`` are PIPE, DEVNULL, None for our own, a descriptor or a file; ``stderr`` may be
    STDOUT.

    Unlike a process it cannot deadlock: whatever the caller waits for, what nobody reads
    meanwhile is kept, beyond 1 MiB in a temporary file. While the caller waits for nothing, the
    program stops at 64 KiB, as at a full pipe.
    """

    def __init__(
        self,
        engine: Engine,
        invocation: Invocation,
        *,
        stdin: Source = None,
        stdout: Target = None,
        stderr: Target = None,
    ) -> None:
        self.invocation = invocation
        self.exit: Exit | None = None
        """How it ended, once that is known; says more than :attr:`returncode`."""
        self._engine = engine
        self._demand = Demand()
        self._container: Container | None = None
        self._life: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self.stdin = Writer(self._demand) if stdin == PIPE else None
        self._source = self.stdin.source() if self.stdin else streams.source(source_of(stdin))
        self.stdout, self._to_stdout = self._output(stdout, own=1)
        if stderr == STDOUT:
            self.stderr, self._to_stderr = None, self._to_stdout
        else:
            self.stderr, self._to_stderr = self._output(stderr, own=2)

    @property
    def id(self) -> str:
        """The invocation's id."""
        return self.invocation.id

    @property
    def args(self) -> tuple[str, ...]:
        """The command, as far as the function and the call say it."""
        function = self.invocation.function
        return (*(function.entrypoint or ()), *function.command, *self.invocation.args)

    @property
    def returncode(self) -> int | None:
        """The exit code, 128+N after the death by signal N, None while it runs.

        A call whose time was over before its program ran has -9: it was killed and has no code.
        """
        if self.exit is None:
            return None
        return -signals.SIGKILL if self.exit.code is None else self.exit.code

    def poll(self) -> int | None:
        """Return :attr:`returncode`; raises what ended the process if that was not itself."""
        if self._error is not None:
            raise self._error
        return self.returncode

    async def start(self) -> None:
        """Start the container.

        Raises as :meth:`wherry.engines.base.Engine.start` does, and :class:`UsageError` when it
        was started before.
        """
        if self._life is not None:
            raise UsageError("this process was started before; make a new one for another call")
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The one task that no group owns: it lives as long as the process, which the caller
        # holds and closes, and it reports its errors to whoever reads or waits.
        self._life = asyncio.create_task(self._live(started), name=f"process {self.id}")
        self._life.add_done_callback(lambda _: self._end(started))
        try:
            await asyncio.shield(started)
        except asyncio.CancelledError:
            await self.aclose()
            if started.done():
                started.exception()  # the caller has gone, so that nobody else looks at it
            raise

    async def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        ``timeout`` is in seconds; after it :class:`subprocess.TimeoutExpired` is raised and the
        process runs on. Raises the engine's error if it was the engine that ended.
        """
        life = self._started()
        try:
            async with asyncio.timeout(timeout):
                with self._demand.present():
                    await asyncio.wait([life])
        except TimeoutError as error:
            raise subprocess.TimeoutExpired(self.args, timeout or 0) from error
        if self._error is not None:
            raise self._error
        code = self.returncode
        if code is None:
            raise EngineError(f"container {self.id} ended without an exit")
        return code

    async def communicate(
        self,
        input: str | bytes | None = None,  # noqa: A002 - subprocess's name for it
        *,
        timeout: float | None = None,
    ) -> tuple[bytes | None, bytes | None]:
        """Send ``input``, end stdin, and return all of stdout and stderr, after the end.

        None stands for a stream that is no PIPE. After :class:`subprocess.TimeoutExpired`
        nothing is lost: kill the process and call again. Raises as :meth:`wait` does.
        """
        self._started()
        if self.stdin is not None and not self.stdin.is_closing():
            self.stdin.write(input.encode() if isinstance(input, str) else input or b"")
            self.stdin.close()
        elif input:
            raise UsageError("input: there is no open stdin; start the process with stdin=PIPE")
        for reader in filter(None, (self.stdout, self.stderr)):
            reader.keep_in_memory()
        await self.wait(timeout)
        return (
            await self.stdout.read() if self.stdout else None,
            await self.stderr.read() if self.stderr else None,
        )

    async def send_signal(self, signal: int) -> None:
        """Send a signal; harmless after the end."""
        self._started()
        if self._container is not None and self.exit is None:
            await self._container.kill(signal)

    async def terminate(self) -> None:
        """Ask the program to end: SIGTERM."""
        await self.send_signal(signals.SIGTERM)

    async def kill(self) -> None:
        """End everything in the container: SIGKILL."""
        await self.send_signal(signals.SIGKILL)

    def add_done_callback(self, callback: Callable[[Process], object]) -> None:
        """Call ``callback(process)`` once the process has ended and is removed."""
        self._started().add_done_callback(lambda _: callback(self))

    async def aclose(self) -> None:
        """Kill and remove the container if it still runs. What was read ahead stays readable."""
        if self._life is None or self._life.done():
            return
        if self._container is not None:
            with self._demand.present():
                await self._container.kill()
                await asyncio.wait([self._life], timeout=_PATIENCE)
        self._life.cancel()
        await asyncio.wait([self._life])

    async def __aenter__(self) -> Self:
        if self._life is None:
            await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End stdin and wait for the end; after an error, kill."""
        try:
            if kind is None:
                if self.stdin is not None:
                    self.stdin.close()
                await self.wait()
        finally:
            await self.aclose()

    def _output(self, target: Target, *, own: int) -> tuple[Reader | None, Write]:
        if target == PIPE:
            reader = Reader(self._demand)
            return reader, reader.feed
        return None, write_to(target, own=own)

    def _started(self) -> asyncio.Task[None]:
        if self._life is None:
            raise UsageError("this process was not started yet")
        return self._life

    async def _live(self, started: asyncio.Future[None]) -> None:
        """Hold the container, from before its start until after its removal."""
        try:
            async with self._engine.start(self.invocation, self._source) as container:
                self._container = container
                started.set_result(None)
                await self._pull(container)
        except asyncio.CancelledError:
            self._error = _closed(self.id)
        except Exception as error:  # noqa: BLE001 - raised again by every read and wait
            self._error = error

    async def _pull(self, container: Container) -> None:
        events = aiter(container)
        while self.exit is None:
            await self._demand.wait()
            match await anext(events, None):
                case Output("stdout", data):
                    await self._to_stdout(data)
                case Output("stderr", data):
                    await self._to_stderr(data)
                case Exit() as ended:
                    self.exit = ended
                case None:
                    raise EngineError(f"the events of container {self.id} ended without an exit")

    def _end(self, started: asyncio.Future[None]) -> None:
        if self.exit is None and self._error is None:
            self._error = _closed(self.id)
        if self._error is not None and not started.done():
            started.set_exception(self._error)
        for reader in filter(None, (self.stdout, self.stderr)):
            reader.end(self._error)
        if self.stdin is not None:
            self.stdin.end()


def _closed(id: str) -> EngineError:  # noqa: A002 - as everywhere
    return EngineError(f"process {id} was closed before its end")
