"""Reading files of every kind as their data comes."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from typing import IO, cast

from wherry.models import CHUNK
from wherry.streams.pulling import threaded


def file_chunks(file: IO[bytes] | IO[str]) -> AsyncIterator[bytes | str]:
    """Yield what an open file has, and leave it open."""
    fd = _pollable(file)
    read1 = getattr(file, "read1", None)
    binary = cast("IO[bytes]", file)
    if fd is not None and (read1 or hasattr(file, "readall")):
        return _live_file(fd, read1 or binary.read)
    if isinstance(getattr(file, "encoding", None), str) and not file.seekable():
        return threaded(_until_empty(lambda: file.readline(CHUNK)))
    return threaded(_until_empty(lambda: file.read(CHUNK)))


def _until_empty(read: Callable[[], bytes | str]) -> Callable[[], bytes | str]:
    def pull() -> bytes | str:
        if data := read():
            return data
        raise StopIteration

    return pull


def _pollable(file: object) -> int | None:
    """Return the descriptor of a pipe, socket or terminal, which can say when it has data."""
    try:
        fd: int = file.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd):
        return fd
    return None


async def _live_file(fd: int, read: Callable[[int], bytes | None]) -> AsyncIterator[bytes]:
    """Read as data comes, and without a thread.

    A thread that is blocked in ``sys.stdin.buffer`` while Python exits aborts the interpreter
    (seen on 3.11, 3.12 and 3.13), and an early exit leaves just that behind.
    """
    watched = os.dup(fd)
    try:
        while True:
            await _until_readable(watched)
            data = read(CHUNK)
            if data is None:  # non-blocking, and someone else was faster
                continue
            if not data:
                return
            yield data
    finally:
        os.close(watched)


async def _until_readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
