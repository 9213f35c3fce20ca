"""Who a container's program runs as, by the image's own account files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from wherry.engines.local.paths import resolve_inside
from wherry.errors import ImageError, UsageError

MAX_ID = 2**31 - 1
"""Largest uid and gid, as Docker has it."""
MAX_ACCOUNT_FILE = 4 * 1024 * 1024
"""Bytes of /etc/passwd or /etc/group that an image may have."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a container's program, in the container's own numbers."""

    uid: int
    gid: int
    home: str
    """Absolute path; ``/`` for a user without an account."""
    name: str | None
    """None for a uid that the image's /etc/passwd does not know."""


def resolve_user(spec: str, rootfs: Path) -> Identity:
    """Find the user that `spec` means in the image unpacked at `rootfs`.

    `spec` is ``uid``, ``name``, ``uid:gid``, ``name:group`` or any mix, by Docker's rules: an
    empty user is root, a number is never a name, a number needs no account (its group is then
    0), a name does. Raises :class:`UsageError` for a name the image does not have and a
    number out of range, :class:`ImageError` when an account file cannot be read.
    """
    user, separator, group = spec.partition(":")
    if ":" in group or (separator and not group):
        raise UsageError(f"user {spec!r} is not `uid`, `name`, `uid:gid` or `name:group`")
    identity = _user(user or "0", rootfs, spec)
    if not group:
        return identity
    gid = _gid(group, rootfs, spec)
    return Identity(identity.uid, gid, identity.home, identity.name)


def _user(user: str, rootfs: Path, spec: str) -> Identity:
    uid = _number(user, spec)
    for fields in _lines(rootfs, "/etc/passwd", 6):
        entry = _id(fields[2])
        if entry is None or (fields[0] != user if uid is None else entry != uid):
            continue
        home = fields[5] if fields[5].startswith("/") else "/"
        return Identity(entry, _id(fields[3]) or 0, home, fields[0])
    if uid is None:
        raise UsageError(f"user {spec!r}: the image's /etc/passwd has no user {user!r}")
    return Identity(uid, 0, "/", None)


def _gid(group: str, rootfs: Path, spec: str) -> int:
    number = _number(group, spec)
    if number is not None:
        return number
    for fields in _lines(rootfs, "/etc/group", 3):
        gid = _id(fields[2])
        if fields[0] == group and gid is not None:
            return gid
    raise UsageError(f"user {spec!r}: the image's /etc/group has no group {group!r}")


def _number(text: str, spec: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    number = _id(text)
    if number is None:
        raise UsageError(f"user {spec!r}: {text} is out of range, ids go up to {MAX_ID}")
    return number


def _id(text: str) -> int | None:
    """Read an id of the range; None for anything else (such lines do not count)."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    number = int(text)
    return number if number <= MAX_ID else None


def _lines(rootfs: Path, path: str, at_least: int) -> Iterator[list[str]]:
    for line in _read(rootfs, path).decode(errors="surrogateescape").splitlines():
        fields = line.strip().split(":")
        if len(fields) >= at_least and fields[0] and not line.startswith("#"):
            yield fields


def _read(rootfs: Path, path: str) -> bytes:
    """Read a regular file of the image; empty when there is none. No link leads outside."""
    inside = resolve_inside(rootfs, path)
    # Not blocking: the image may hold a fifo here, which nobody will ever write to.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(f"{os.fspath(rootfs)}{inside}", flags)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise ImageError(f"the image's {path} cannot be read: {error.strerror}") from error
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        if not S_ISREG(os.fstat(fd).st_mode):
            raise ImageError(f"the image's {path} is not a regular file")
        data = file.read(MAX_ACCOUNT_FILE + 1)
    if len(data) > MAX_ACCOUNT_FILE:
        raise ImageError(f"the image's {path} is larger than {MAX_ACCOUNT_FILE} bytes")
    return data
