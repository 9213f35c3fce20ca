"""What may be put where in a container: checked before anything starts, and said in words."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local.paths import exists_inside, is_dir_inside, is_file_inside
from wherry.errors import ImageError, UsageError

if TYPE_CHECKING:
    from wherry.models import Mount

_LONGEST_HOSTNAME = 64
"""Bytes; the kernel's own limit (uname(2))."""


def check_hostname(name: str) -> None:
    """Raise :class:`UsageError` for what the kernel, or a line of /etc/hosts, cannot hold."""
    if not name or len(name.encode()) > _LONGEST_HOSTNAME:
        raise UsageError(f"hostname {name!r} must have 1 to {_LONGEST_HOSTNAME} bytes")
    if not name.isprintable() or any(letter.isspace() for letter in name):
        raise UsageError(f"hostname {name!r} must be one word of printable characters")


def check_mount(mount: Mount, *, target: str, root: Path) -> None:
    """Raise :class:`UsageError` for a directory upon a file, and the other way round."""
    check_parents("mount", target, root=root)
    if mount.size is not None and mount.size < 1:
        raise UsageError(f"mount on {mount.target!r}: size {mount.size} must be at least 1 byte")
    brings_directory = mount.type == "tmpfs" or Path(mount.source or "").is_dir()
    if exists_inside(root, target) and is_dir_inside(root, target) != brings_directory:
        kinds = ("a directory", "a file") if brings_directory else ("a file", "a directory")
        raise UsageError(
            f"mount on {mount.target!r}: it brings {kinds[0]}, and the image has {kinds[1]} there"
        )


def check_file(target: str, root: Path) -> None:
    """Raise :class:`UsageError` where no file can be: on a directory, a fifo, or below a file."""
    check_parents("file", target, root=root)
    if is_dir_inside(root, target):
        raise UsageError(f"file {target!r}: the image has a directory there")
    if not _can_be_written(target, root):
        raise UsageError(f"file {target!r}: what the image has there is no regular file")


def check_name_file(target: str, root: Path) -> None:
    """Raise :class:`ImageError` where a resolver's file, such as /etc/hosts, cannot be written."""
    if not _can_be_written(target, root):
        raise ImageError(
            f"the image has no regular file at {target!r}, where the container's own name or name "
            "servers are written; remove it from the image, or give a file or a mount there"
        )


def _can_be_written(target: str, root: Path) -> bool:
    """Whether there is a regular file or nothing: to open a fifo waits for a reader for ever."""
    return is_file_inside(root, target) or not exists_inside(root, target)


def check_parents(field: str, target: str, *, root: Path) -> None:
    """Raise :class:`UsageError` for what would lie below something that is no directory."""
    parent = posixpath.dirname(target)
    while not exists_inside(root, parent):
        parent = posixpath.dirname(parent)
    if not is_dir_inside(root, parent):
        raise UsageError(f"{field} {target!r}: {parent!r} in the image is no directory")
