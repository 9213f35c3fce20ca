"""Files that are either whole or not there, also after a power cut."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a small file under a temporary name, then rename it into place."""
    with written_atomic(path, data, mode=mode):
        pass


@contextmanager
def written_atomic(
    path: Path, data: bytes, *, mode: int = 0o600, lock: int | None = None
) -> Iterator[int]:
    """Write a small file whole; yields its descriptor, open until the block ends.

    With ``lock``, an ``fcntl.LOCK_…``, the file is locked before anybody else can see it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        if lock is not None:
            fcntl.flock(fd, lock)
        write_all(fd, data)
        os.fsync(fd)
        temporary.rename(path)
        sync_directory(path.parent)
        yield fd
    finally:
        os.close(fd)
        temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: Path) -> None:
    """Make everything below a directory durable: one call instead of one for each file."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte: a single write may be cut short."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
