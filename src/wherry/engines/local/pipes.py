"""Non-blocking pipe ends on the running event loop: pulled, never buffered."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Collection

from wherry.models import CHUNK

_ABOVE_STDIO = 3


def pipe() -> tuple[int, int]:
    """Make a close-on-exec pipe (read end, write end) whose numbers are above stdio's."""
    read, write = os.pipe()
    return lift(read), lift(write)


def lift(fd: int) -> int:
    """Give a descriptor a number above stdio's, which a child's own streams take."""
    if fd >= _ABOVE_STDIO:
        return fd
    lifted: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STDIO)
    os.close(fd)
    return lifted


def in_memory(name: str, data: bytes) -> int:
    """Return a descriptor that reads ``data`` from its start, backed by no file."""
    fd = lift(os.memfd_create(name))
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def from_file(path: str) -> int:
    """Open a file for the sandbox to read, above stdio's numbers; never waits, as for a fifo."""
    return lift(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))


def read_now(fd: int) -> bytes | None:
    """Read what is there (at most one chunk); b"" at the end, None when nothing is there yet."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None


def read_file(path: str) -> bytes:
    """Read a file of /proc or the like to its end, with as few system calls as that takes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, CHUNK):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts)


class Readiness:
    """Waits for descriptors again and again; one that has nothing yet stays registered.

    Whoever reads what it has, in its own time, costs no registration meanwhile.
    """

    def __init__(self) -> None:
        self._registered: set[int] = set()
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, fds: Collection[int]) -> None:
        """Wait until one of the descriptors can be read or has ended, or for :meth:`wake`."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        for fd in fds:
            if fd not in self._registered:
                self._registered.add(fd)
                loop.add_reader(fd, self._fired, fd)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """End the waiting, if anybody waits."""
        if self._waiter is not None:
            _wake(self._waiter)

    def forget(self, *fds: int) -> None:
        """Unregister these descriptors, or all of them: before they are closed."""
        for fd in self._registered.intersection(fds or self._registered):
            self._registered.discard(fd)
            asyncio.get_running_loop().remove_reader(fd)

    def _fired(self, fd: int) -> None:
        # It would fire again and again until somebody reads.
        self.forget(fd)
        self.wake()


async def wait_readable(fds: Collection[int]) -> None:
    """Wait until one of the descriptors can be read or has ended.

    One waiter per descriptor: a loop knows one reader of each.
    """
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    for fd in fds:
        loop.add_reader(fd, _wake, ready)
    try:
        await ready
    finally:
        for fd in fds:
            loop.remove_reader(fd)


async def write_all(fd: int, data: bytes) -> bool:
    """Write everything as the reader takes it; False when the reader is gone."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _wait_writable(fd)
        except BrokenPipeError:
            return False
    return True


async def _wait_writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(fd, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
