"""Writing what a function says to our own stdout and stderr, at their reader's pace."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.models import StreamName

_PIPE_BUF = 4096
"""Bytes that a pipe which can be written takes without blocking (pipe(7))."""


class SinkError(WherryError):
    """One of our own streams cannot be written; the cause says why."""


class SinkClosed(SinkError):
    """Nobody reads the stream any more."""


class Sink:
    """One of our own streams.

    It may be shared with other processes, so it must stay blocking: a pipe or a terminal is
    opened once more, for a description of our own that is not. Where that is impossible we
    wait until it can be written, and write no more than it takes at once.
    """

    def __init__(self, name: StreamName) -> None:
        self._name = name
        self._shared = standard.STDOUT if name == "stdout" else standard.STDERR
        self._pollable = _is_pollable(self._shared)
        self._own = reopened(self._shared, os.O_WRONLY) if self._pollable else None

    async def write(self, data: bytes) -> None:
        """Write everything; raises :class:`SinkClosed`, :class:`SinkError`."""
        view = memoryview(data)
        try:
            while view:
                view = view[await self._some(view) :]
        except BrokenPipeError as error:
            raise SinkClosed(self._name) from error
        except OSError as error:
            raise SinkError(f"{self._name} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close what is our own."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    async def _some(self, view: memoryview) -> int:
        if self._own is None:
            if not self._pollable:
                return os.write(self._shared, view)
            await writable(self._shared)
            return os.write(self._shared, view[:_PIPE_BUF])
        try:
            return os.write(self._own, view)
        except BlockingIOError:
            await writable(self._own)
            return 0


def sinks() -> Mapping[StreamName, Sink]:
    """Return both of our streams."""
    return {"stdout": Sink("stdout"), "stderr": Sink("stderr")}


def reopened(fd: int, flags: int) -> int | None:
    """Open what a descriptor refers to once more, non-blocking; None where that is refused.

    Sockets cannot be opened, and what belonged to another user before ``su`` must not be.
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None


async def readable(fd: int) -> None:
    """Wait until a descriptor can be read or has ended."""
    loop = asyncio.get_running_loop()
    await _ready(lambda wake: loop.add_reader(fd, wake), lambda: loop.remove_reader(fd))


async def writable(fd: int) -> None:
    """Wait until a descriptor can be written or nobody reads it."""
    loop = asyncio.get_running_loop()
    await _ready(lambda wake: loop.add_writer(fd, wake), lambda: loop.remove_writer(fd))


async def _ready(
    watch: Callable[[Callable[[], None]], None], unwatch: Callable[[], object]
) -> None:
    event = asyncio.Event()
    watch(event.set)
    try:
        await event.wait()
    finally:
        unwatch()


def _is_pollable(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)
