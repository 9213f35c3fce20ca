"""What functions write to stderr: kept per function in a ring of files, and followed live."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.calls.following import Follower, lost
from wherry.calls.logfiles import LogFiles
from wherry.calls.logline import Lines, LogLine
from wherry.errors import EngineError
from wherry.images.threads import in_thread

if TYPE_CHECKING:
    from wherry.models import Output
    from wherry.service.call import Call

_LOG = logging.getLogger(__name__)
_LATER = 0.2
"""Seconds that a line may wait for company before it is written."""
_MOST = 20_000
"""Lines that wait for the disk; then new ones are lost, and a line says how many."""
_MOST_TEXT = 4 * 1024 * 1024
"""Characters of such lines, as they may be long."""


class FunctionLogs:
    """An :class:`wherry.service.call.Observer` that keeps the lines of stderr.

    Per function: ``files`` files of ``size`` bytes in ``directory/logs``; the oldest is given up.
    """

    def __init__(
        self,
        directory: Path,
        *,
        size: int = 1024 * 1024,
        files: int = 4,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = LogFiles(directory / "logs", size=size, files=files)
        self._clock = clock
        self._running: dict[int, Call] = {}
        self._unheard: set[int] = set()
        """Calls that still run although their function is no more."""
        self._lines: dict[int, Lines] = {}
        self._waiting: list[LogLine] = []
        self._text = 0
        """Characters of the lines that wait."""
        self._lost: dict[tuple[str, str], int] = {}
        """(name, namespace) to lines that are missing, and were not said to be yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self._followers: set[Follower] = set()

    # ---- Observer --------------------------------------------------------------------------

    def began(self, call: Call) -> None:
        """Know of the call as long as it runs."""
        self._running[id(call)] = call

    def started(self, call: Call) -> None:
        """Do nothing: nothing is written yet."""

    def wrote(self, call: Call, output: Output) -> None:
        """Keep the lines that are complete now."""
        if output.stream != "stderr" or id(call) in self._unheard:
            return
        lines = self._lines.get(id(call))
        if lines is None:
            lines = self._lines[id(call)] = Lines()
        for text in lines.feed(output.data):
            self._keep(call, text)

    def ended(self, call: Call) -> None:
        """Keep what was written after the last line's end."""
        self._running.pop(id(call), None)
        self._unheard.discard(id(call))
        lines = self._lines.pop(id(call), None)
        if lines is not None and (rest := lines.rest()):
            self._keep(call, rest)

    # ---- reading ---------------------------------------------------------------------------

    async def query(
        self,
        name: str,
        namespace: str,
        *,
        instance: str | None = None,
        tail: int | None = None,
        since: float | None = None,
        follow: bool = False,
    ) -> AsyncGenerator[LogLine, None]:
        """Yield lines of a function, the oldest first, and on demand those still to come.

        ``instance`` is the id of a call; ``since`` Unix time. ``tail`` is about the lines there
        are; None, zero and less: all of them. With ``follow`` it ends when these logs are closed.
        Close what you do not iterate to its end (:func:`contextlib.aclosing`).
        """

        def wants(line: LogLine) -> bool:
            function = (line.name, line.namespace) == (name, namespace)
            return function and instance in {None, line.instance}

        async with self._writing:
            await self._write()
            lines = await in_thread(self._files.read, name, namespace)
            # Nothing may wait from here to where the follower is told of the next line: it is to
            # miss none, and to have none twice.
            lines += self._waiting
            follower = Follower(wants)
            if follow:
                self._followers.add(follower)
        try:
            for line in _last(tail, [line for line in lines if wants(line) and _is(line, since)]):
                yield line
            while follow and (news := await follower.next()) is not None:
                yield news
        finally:
            self._followers.discard(follower)

    async def flush(self) -> None:
        """Write what waits."""
        async with self._writing:
            await self._write()

    async def forget(self, name: str, namespace: str) -> None:
        """Remove the lines of a function that is no more; its last calls write none."""
        for number, call in self._running.items():
            if (call.deployed.name, call.deployed.namespace) == (name, namespace):
                self._unheard.add(number)
                self._lines.pop(number, None)
        async with self._writing:
            await self._write()
            self._lost.pop((name, namespace), None)
            await in_thread(self._files.remove, name, namespace)

    async def aclose(self) -> None:
        """Write what waits, and let those who follow go. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is not None:
            await self._flushing
        await self._flush_or_complain()
        for follower in self._followers:
            follower.end()

    # ---- writing ---------------------------------------------------------------------------

    def _keep(self, call: Call, text: str) -> None:
        deployed = call.deployed
        line = LogLine(deployed.name, deployed.namespace, call.id, self._clock(), text)
        for follower in self._followers:
            follower.tell(line)
        function = deployed.name, deployed.namespace
        if len(self._waiting) >= _MOST or self._text >= _MOST_TEXT:
            self._lost[function] = self._lost.get(function, 0) + 1
            return
        if missing := self._lost.pop(function, 0):
            self._waiting.append(lost(line, missing, why="they came faster than the disk"))
        self._waiting.append(line)
        self._text += len(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LATER, self._flush_soon)

    def _flush_soon(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush_or_complain())

    async def _flush_or_complain(self) -> None:
        try:
            await self.flush()
        except EngineError as error:
            _LOG.error("function logs cannot be written", extra={"error": str(error)})

    async def _write(self) -> None:
        lines, self._waiting, self._text = self._waiting, [], 0
        if not lines:
            return
        try:
            await in_thread(self._files.write, lines)
        except OSError as error:
            raise EngineError(f"function logs cannot be written: {error}") from error


def _is(line: LogLine, since: float | None) -> bool:
    return since is None or line.timestamp >= since


def _last(count: int | None, lines: list[LogLine]) -> list[LogLine]:
    return lines[-count:] if count is not None and count > 0 else lines
