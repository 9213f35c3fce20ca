"""Files that are either whole or not there, also after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherry.errors import ImageError
from wherry.images.locks import acquire
from wherry.images.tree import remove


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a small file under a temporary name, then rename it into place."""
    with written_atomic(path, data, mode=mode):
        pass


@contextmanager
def written_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> Iterator[int]:
    """Write a small file whole; yields its descriptor, and keeps it locked for the block.

    The lock says that its writer lives: what is left under a temporary name without one is of
    a dead process (see :func:`remove_abandoned`).
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    fd = acquire(temporary)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data)
        os.fsync(fd)
        temporary.rename(path)
        sync_directory(path.parent)
        yield fd
    finally:
        temporary.unlink(missing_ok=True)
        os.close(fd)


def remove_abandoned(path: Path) -> None:
    """Remove a file or tree that nobody has locked: who made it is dead."""
    try:
        fd = acquire(path, wait=False, create=False)
    except (BlockingIOError, FileNotFoundError):
        return
    try:
        remove(str(path))
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: Path) -> None:
    """Make everything below a directory durable: one call instead of one for each file."""
    import ctypes

    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte: a single write may be cut short.

    Raises :class:`ImageError` when the disk is full or fails.
    """
    view = memoryview(data)
    while view:
        try:
            written = os.write(fd, view)
        except OSError as error:
            raise ImageError(
                f"the image store cannot be written: {error.strerror}; `wherry image prune` "
                "makes room, --data-dir names another place"
            ) from error
        view = view[written:]
