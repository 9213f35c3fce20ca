"""Who runs a call, and whether it still lives: a locked file tells, however it ended."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Self


class Owner:
    """This process as the owner of calls: it holds the lock of a file for as long as it lives.

    The kernel gives the lock back when the process ends, also by SIGKILL, so that nobody has to
    wait for a lease of the dead. The database is on a file system of this machine (SQLite's WAL
    asks for that), so the lock tells about every owner there can be.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def register(cls, directory: Path) -> Self:
        """Make an owner with a name of its own in ``directory``."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / secrets.token_hex(8)
        unlocked = path.with_suffix(".new")
        descriptor = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            unlocked.rename(path)  # nobody ever sees it without its lock
        except OSError:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits."""
        return self._path.name

    def close(self) -> None:
        """Be an owner no longer. Idempotent."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def is_alive(directory: Path, owner: str) -> bool:
    """Return whether the process that registered as ``owner`` still is one."""
    try:
        descriptor = os.open(directory / owner, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def forget_dead(directory: Path) -> None:
    """Remove what owners that are dead have left."""
    for path in directory.iterdir():
        if path.suffix == "" and not is_alive(directory, path.name):
            path.unlink(missing_ok=True)
