"""A running container of the local engine: its events, its end."""

from __future__ import annotations

import asyncio
import os
import signal as signals
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from wherry.engines.feeding import Feeder
from wherry.engines.local import pipes
from wherry.engines.local.complaint import Complaint
from wherry.engines.local.measuring import Measured
from wherry.errors import EngineError, StartError
from wherry.models import Exit, Output, StreamName, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin
    from wherry.engines.local.cgroup import Group
    from wherry.engines.local.ready import Gate
    from wherry.engines.local.sandbox import Ended, Sandbox

_SIGKILLED = 128 + signals.SIGKILL
_HARMLESS = frozenset(
    {signals.SIGCHLD, signals.SIGCONT, signals.SIGURG, signals.SIGWINCH}
    | {signals.SIGSTOP, signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU}
)
"""Signals that end no program that has said nothing of them (signal(7))."""
_READS_IN_A_ROW = 4


class LocalContainer:
    """Implements :class:`wherry.engines.base.Container`."""

    def __init__(
        self,
        id: str,  # noqa: A002
        sandbox: Sandbox,
        *,
        group: Group | None,
        streams: dict[StreamName, int],
        gate: Gate | None = None,
        stop_signal: int = signals.SIGTERM,
    ) -> None:
        self.id = id
        self._stop_signal = stop_signal
        self.sandbox = sandbox
        self._group = group
        self._gate = gate
        self._streams = streams
        self._open = list(streams)
        self._complaint = Complaint()
        self._feeder: Feeder | None = None
        self._stdin: int | None = None
        self._sent: set[int] = set()
        self._before_its_start: int | None = None
        self._finished = False
        self._reads = 0
        self._ready = pipes.Readiness()

    def rename(self, id: str) -> None:  # noqa: A002
        """Serve the call with this id: seen from outside too."""
        self.id = id
        self.sandbox.rename(id)

    def feed(self, source: Stdin, fd: int) -> None:
        """Start to feed the program from its source, through the write end ``fd``."""
        os.set_blocking(fd, False)
        self._stdin = fd
        self._feeder = Feeder(source, write=self._write, end=self._end, failed=self.kill)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._finished:
            raise StopAsyncIteration
        if output := await self._next_output():
            return output
        ended = await self.sandbox.wait()
        if ended.exit_code is not None and (held := self._complaint.release()):
            return Output("stderr", held)
        self._finished = True
        return self._exit(ended)

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to the program. Harmless if it has already exited.

        SIGTERM asks it to stop, in the way that the function or its image wants to be asked.
        """
        if signal == signals.SIGTERM:
            signal = self._stop_signal
        self._sent.add(signal)
        if signal == signals.SIGKILL:
            await self.sandbox.kill()
        elif not self.sandbox.send(signal) and signal not in _HARMLESS:
            # A program that does not exist yet handles nothing: it ends as by the signal.
            if self.sandbox.is_running() and self._before_its_start is None:
                self._before_its_start = signal
            await self.sandbox.kill()

    def measured(self) -> Measured:
        """Return where it is seen what the container takes."""
        return Measured(id=self.id, pid=self.sandbox.pid, group=self._group)

    @property
    def is_over(self) -> bool:
        """Whether :meth:`stop` has nothing to do, and says that there is something to close."""
        return (
            self._finished
            and (self._feeder is None or self._feeder.is_over)
            and self.sandbox.is_over()
        )

    async def stop(self) -> bool:
        """End the program if it still runs: afterwards, nothing of the image does.

        Returns whether :meth:`close` has something to wait for: bubblewrap's own end.
        """
        try:
            if self._feeder is not None:
                await self._feeder.stop()
        finally:
            is_ending = await self.sandbox.stop()
        return is_ending

    async def close(self) -> None:
        """Leave nothing of a container that was stopped."""
        self._ready.forget()
        try:
            await self.sandbox.close()
        finally:
            for fd in self._streams.values():
                os.close(fd)
            if self._gate is not None:
                self._gate.close()
            if self._group is not None:
                await self._group.remove()

    async def end(self) -> None:
        """End the container if it still runs, and leave nothing of it."""
        try:
            await self.stop()
        finally:
            await self.close()

    @property
    def finished(self) -> bool:
        """Whether its Exit has been told."""
        return self._finished

    def take_source_error(self) -> BaseException | None:
        """Return what the stdin source raised, unless somebody has been told already."""
        if self._feeder is None:
            return None
        error, self._feeder.error = self._feeder.error, None
        return error

    async def _next_output(self) -> Output | None:
        while True:
            # Asked before the streams are read: a program that has ended wrote all it will. What
            # it leaves behind may hold them open; that is killed, and no more part of the call.
            has_told = self.sandbox.has_told
            for stream in tuple(self._open):
                if output := self._read(stream):
                    await self._let_others_run()
                    return output
            if has_told or not self._open:
                return None
            self.sandbox.watch(self._ready.wake)
            await self._ready.wait([self._streams[stream] for stream in self._open])
            self._reads = 0

    def _read(self, stream: StreamName) -> Output | None:
        data = pipes.read_now(self._streams[stream])
        if data == b"":
            self._open.remove(stream)
        if stream == "stderr":
            data = self._complaint.hold(data)
        elif data and len(self._open) > 1:
            # Take turns, so that a busy stream does not keep the other one waiting.
            self._open.reverse()
        return Output(stream, data) if data else None

    async def _let_others_run(self) -> None:
        self._reads += 1
        if self._reads >= _READS_IN_A_ROW:
            self._reads = 0
            await asyncio.sleep(0)

    def _exit(self, ended: Ended) -> Exit:
        if error := self.take_source_error():
            raise error
        failure = self._gate.failure() if self._gate is not None else None
        if isinstance(failure, StartError) or (failure is not None and not self._sent):
            raise failure
        code = ended.exit_code
        if self._before_its_start is not None and code in (None, _SIGKILLED):
            return Exit(128 + self._before_its_start, "killed")
        if code is not None and code - 128 in self._sent:
            return Exit(code, "killed")
        if code in (None, _SIGKILLED) and self._group is not None and self._group.oom_killed():
            return Exit(_SIGKILLED, "oom")
        if code is not None:
            return exit_from_code(code)
        if self._sent:
            return Exit(128 + max(self._sent), "killed")
        if ended.killed_by is not None:
            raise EngineError(
                f"container {self.id}: its sandbox was killed from outside "
                f"({signals.Signals(ended.killed_by).name}), so how it ended is not known"
            )
        raise self._complaint.error(self.id)

    async def _write(self, data: bytes) -> bool:
        assert self._stdin is not None
        return await pipes.write_all(self._stdin, data)

    async def _end(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
