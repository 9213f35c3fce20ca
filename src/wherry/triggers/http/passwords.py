"""The one user of basic auth: who it is, and a password made at the first start."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from wherry.errors import UsageError
from wherry.images.files import sync_directory, write_all

USER = "admin"
PASSWORD_FILE = "basic-auth-password"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class BasicUser:
    """A user and the hash of its password; whoever it is, it may do everything."""

    name: str
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, password: str) -> Self:
        """Keep the hash of a password. Raises :class:`UsageError` when either cannot be sent."""
        if not name or ":" in name:
            raise UsageError(f"basic auth user: {name!r} is empty or holds a colon")
        if not password:
            raise UsageError("basic auth password: it is empty, so everybody would know it")
        return cls(name, _digest(name, password))

    def matches(self, name: str, password: str) -> bool:
        """Whether both are right, in a time that tells nothing."""
        return hmac.compare_digest(self.digest, _digest(name, password))


def read_basic_user(*, user_file: Path | None, password_file: Path) -> BasicUser:
    """Read user (``admin`` without a file) and password from files, as OpenFaaS mounts them.

    Raises :class:`UsageError` for a file that cannot be read, or is empty.
    """
    name = USER if user_file is None else _line(user_file)
    return BasicUser.of(name, _line(password_file))


def own_basic_user(directory: Path) -> BasicUser:
    """Return the user ``admin`` with the password in ``directory``, made when there is none.

    The file is readable by this user alone. Two servers that start at once get the same one.
    """
    path = directory / PASSWORD_FILE
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    return read_basic_user(user_file=None, password_file=path)


def _make(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, f"{secrets.token_urlsafe(24)}\n".encode())
        os.fsync(fd)
        path.hardlink_to(temporary)  # unlike a rename, never in the place of another's
    except FileExistsError:
        return
    finally:
        os.close(fd)
        temporary.unlink()
    sync_directory(path.parent)


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _digest(name: str, password: str) -> bytes:
    return hashlib.sha256(f"{name}:{password}".encode("utf-8", "surrogateescape")).digest()
