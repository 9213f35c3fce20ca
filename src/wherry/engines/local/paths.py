"""Paths of the container, looked up from outside of it without ever leaving its root."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from wherry.errors import ImageError, UsageError

MAX_LINKS = 40
"""Symbolic links followed in one path; the kernel's own limit (path_resolution(7))."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


def resolve_inside(rootfs: Path, path: str) -> str:
    """Return the absolute in-container path that `path` means to a process chrooted in `rootfs`.

    No component of the result is a symbolic link: absolute links start at the container's root,
    ``..`` stops there. A tail that does not exist is kept as it was written, with ``..`` taken
    lexically. A relative `path` starts at the root. The answer holds as long as nobody changes
    the root file system, which images do not. Raises :class:`UsageError` for more than 40 links
    or an impossible name, :class:`ImageError` where the root file system cannot be read.
    """
    root = os.fspath(rootfs)
    todo = _parts(path)
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        target = _link_target(root, done)
        if target is None:
            continue
        links += 1
        if links > MAX_LINKS:
            raise UsageError(f"path {path!r} passes through more than {MAX_LINKS} symbolic links")
        if target.startswith("/"):
            done.clear()
        else:
            done.pop()
        todo += _parts(target)
    return "/" + "/".join(done)


def exists_inside(rootfs: Path, path: str) -> bool:
    """Return whether a process chrooted in `rootfs` would find something at `path`."""
    return _mode(rootfs, path) is not None


def is_file_inside(rootfs: Path, path: str) -> bool:
    """Return whether a process chrooted in `rootfs` would find a regular file at `path`."""
    mode = _mode(rootfs, path)
    return mode is not None and S_ISREG(mode)


def is_dir_inside(rootfs: Path, path: str) -> bool:
    """Return whether a process chrooted in `rootfs` would find a directory at `path`."""
    mode = _mode(rootfs, path)
    return mode is not None and S_ISDIR(mode)


def is_below(path: str, parent: str) -> bool:
    """Return whether a path without symlinks is another one or lies below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def _parts(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _link_target(root: str, parts: list[str]) -> str | None:
    inside = "/".join(parts)
    try:
        return os.readlink(f"{root}/{inside}")  # noqa: PTH115 - Path would normalise, and cost
    except ValueError as error:
        raise UsageError(f"path {inside!r} holds a NUL byte, no file name can") from error
    except OSError as error:
        if error.errno == errno.EINVAL or error.errno in _ABSENT:
            return None
        raise _translated(error, inside) from error


def _mode(rootfs: Path, path: str) -> int | None:
    inside = resolve_inside(rootfs, path)
    try:
        return os.lstat(f"{os.fspath(rootfs)}{inside}").st_mode
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _translated(error, inside) from error


def _translated(error: OSError, inside: str) -> UsageError | ImageError:
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"path {inside[:80]!r}… is longer than a path may be")
    return ImageError(f"the image's /{inside.lstrip('/')} cannot be read: {error.strerror}")
