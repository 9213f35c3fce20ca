"""Secrets: one file each, which only this user reads; their values are never kept in memory."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.functions.durably import completed
from wherry.functions.model import DEFAULT_NAMESPACE
from wherry.functions.names import check_name, check_namespace
from wherry.images.files import sync_directory
from wherry.names import nearest

LARGEST = 1024 * 1024
"""Bytes of a secret, as in Kubernetes."""


class SecretStore:
    """The secrets of all namespaces, in files below one directory.

    A write is durable when it returns. A new value replaces the file as a whole, so a call
    sees the old value or the new one, and each call after the write sees the new one.
    """

    def __init__(
        self, directory: Path, *, namespaces: Callable[[str], object] = check_namespace
    ) -> None:
        """``namespaces`` raises :class:`NotFound` for a namespace that does not exist."""
        self._directory = directory
        self._namespaces = namespaces
        self._lock = asyncio.Lock()

    def names(self, *, namespace: str = DEFAULT_NAMESPACE) -> list[str]:
        """Return the names of a namespace's secrets, sorted. Raises :class:`NotFound`."""
        self._namespaces(namespace)
        folder = self._directory / check_namespace(namespace)
        try:
            return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
        except FileNotFoundError:
            return []

    def has(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> bool:
        """Whether there is such a secret."""
        return self.path(name, namespace=namespace).is_file()

    def path(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> Path:
        """Return where the secret's value is, or would be. Raises :class:`UsageError`."""
        return self._directory / check_namespace(namespace) / check_name(name, field="secret")

    async def create(self, name: str, value: bytes, *, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Keep a new secret. Raises :class:`AlreadyExists`, :class:`UsageError`."""
        path = self._checked(name, value, namespace=namespace)
        async with self._lock:
            if path.exists():
                raise AlreadyExists(
                    f"there is a secret {name!r} in namespace {namespace!r} already"
                )
            await completed(_write, path, value)

    async def replace(self, name: str, value: bytes, *, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Give a secret a new value, for all calls from now on. Raises :class:`NotFound`."""
        path = self._checked(name, value, namespace=namespace)
        async with self._lock:
            self._existing(name, namespace)
            await completed(_write, path, value)

    async def remove(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Remove a secret; functions that name it cannot start until it is there again.

        Raises :class:`NotFound`.
        """
        async with self._lock:
            await completed(_remove, self._existing(name, namespace))

    def tidy(self) -> None:
        """Remove what a process that was killed left of values it had not finished writing."""
        for path in self._directory.glob("*/.*"):
            path.unlink(missing_ok=True)

    def _existing(self, name: str, namespace: str) -> Path:
        self._namespaces(namespace)
        path = self.path(name, namespace=namespace)
        if not path.is_file():
            known = self.names(namespace=namespace)
            raise NotFound(
                f"there is no secret {name!r} in namespace {namespace!r}{nearest(name, known)}"
            )
        return path

    def _checked(self, name: str, value: bytes, *, namespace: str) -> Path:
        self._namespaces(namespace)
        path = self.path(name, namespace=namespace)
        if len(value) > LARGEST:
            raise UsageError(
                f"secret {name!r}: {len(value)} bytes are too many; a secret has at most {LARGEST}"
            )
        return path


def _write(path: Path, value: bytes) -> None:
    temporary = path.with_name(f".{os.urandom(8).hex()}")
    try:
        _make_private(path.parent)
        try:
            _write_new(temporary, value, modified=_after(path))
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise _failure(path, error) from error


def _write_new(path: Path, value: bytes, *, modified: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(value)
        file.flush()
        # Ready containers tell a newer file by its inode and time. An inode's number is used
        # again, and the kernel's clock stands still for milliseconds: make the time new.
        os.utime(fd, ns=(modified, modified))
        os.fsync(fd)


def _after(path: Path) -> int:
    now = time.time_ns()
    try:
        return max(now, path.stat().st_mtime_ns + 1)
    except FileNotFoundError:
        return now


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise _failure(path, error) from error


def _make_private(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    sync_directory(folder.parent)


def _failure(path: Path, error: OSError) -> EngineError:
    return EngineError(f"secret {path.name!r} cannot be written: {error.strerror}")
