"""Advisory locks between processes: a lock ends with its holder, however that one ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def acquire(path: Path, *, shared: bool = False, wait: bool = True, create: bool = True) -> int:
    """Open and lock a file or directory; return the descriptor, whose close is the release.

    The lock is on what is at ``path`` *now*: when the file was renamed or removed while we
    waited, we start again. Raises BlockingIOError when it is held and ``wait`` is false,
    FileNotFoundError when it is missing and ``create`` is false.
    """
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, how)
            if is_at(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def is_at(fd: int, path: Path) -> bool:
    """Whether the open file is the one that has this path."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[int]:
    """Hold the lock of :func:`acquire` for a block."""
    fd = acquire(path, shared=shared, wait=wait)
    try:
        yield fd
    finally:
        os.close(fd)
