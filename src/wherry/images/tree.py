"""A directory tree that is changed only from within: no path ever leads out of its root.

Every name is opened relative to a descriptor of its parent and never followed. A symbolic link
among the parents is resolved here, inside of the root, as it would be after chroot(2).
"""

from __future__ import annotations

import os
import stat
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from wherry.errors import ImageCorrupt

Parts = tuple[bytes, ...]
_LINKS = 40
_PARENT = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """The root of a tree, and open directories down to where the last entry was.

    Nobody else may change the tree meanwhile. Archives come sorted by directory, so that a
    parent is mostly open already.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._fds = [os.open(root, _PARENT)]
        self._names: list[bytes] = []
        self._last: tuple[Parts, tuple[int, Parts]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.forget(())
        os.close(self._fds.pop())

    def find(self, parts: Parts) -> tuple[int, Parts] | None:
        """Open a directory; None when it, or one above it, is missing.

        Returns a descriptor, valid until the next call, and the path without links.
        """
        return self._walk(parts, create=False)

    def make(self, parts: Parts) -> tuple[int, Parts]:
        """Open a directory as :meth:`find` does, and make what is missing.

        Raises :class:`ImageCorrupt` when a file stands where a directory should be.
        """
        found = self._walk(parts, create=True)
        if found is None:
            raise ImageCorrupt(f"{show(parts)}: a file or an endless link stands among its parents")
        return found

    def forget(self, parts: Parts) -> None:
        """Close what is open below a directory, before something in there is removed."""
        self._last = None
        while len(self._names) > len(parts):
            self._names.pop()
            os.close(self._fds.pop())

    def _walk(self, parts: Parts, *, create: bool) -> tuple[int, Parts] | None:
        if self._last and self._last[0] == parts:
            return self._last[1]
        todo = deque(parts)
        depth = links = 0
        while todo:
            name = todo.popleft()
            if name == b"..":  # only a link's target has these; above the root is the root
                depth = max(0, depth - 1)
            elif (depth < len(self._names) and self._names[depth] == name) or self._open(
                name, depth, create=create
            ):
                depth += 1
            else:
                target = self._link(name, depth)
                links += 1
                if target is None or links > _LINKS:
                    return None
                depth = 0 if target.startswith(b"/") else depth
                todo.extendleft(reversed(split(target)))
        self._last = parts, (self._fds[depth], tuple(self._names[:depth]))
        return self._last[1]

    def _open(self, name: bytes, depth: int, *, create: bool) -> bool:
        """Open a real directory on top of the first ``depth``; False when it is none."""
        self.forget(tuple(self._names[:depth]))
        above = self._fds[depth]
        if create:
            try:
                fd = os.open(name, _PARENT, dir_fd=above)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=above)
                self.made((*self._names, name), above)
                fd = os.open(name, _PARENT, dir_fd=above)
            except NotADirectoryError:
                return False
        else:
            try:
                fd = os.open(name, _PARENT, dir_fd=above)
            except (FileNotFoundError, NotADirectoryError):
                return False
        self._fds.append(fd)
        self._names.append(name)
        return True

    def _link(self, name: bytes, depth: int) -> bytes | None:
        try:
            return os.readlink(name, dir_fd=self._fds[depth])
        except OSError:  # EINVAL: a file; ENOENT: nothing
            return None

    def made(self, parts: Parts, above: int) -> None:
        """Complete a directory that :meth:`make` had to make."""


def split(path: bytes) -> Parts:
    """Split a path into its names; keeps ``..``."""
    return tuple(part for part in path.split(b"/") if part not in (b"", b"."))


def show(path: Parts | bytes) -> str:
    """Return a path as it can stand in a message."""
    name = path if isinstance(path, bytes) else b"/".join(path)
    return ascii(os.fsdecode(name[:300]))


def remove(name: str | bytes, *, dir_fd: int | None = None) -> None:
    """Remove a file or a whole tree, whatever its modes and however deep; missing is fine.

    Deeper directories are moved up to the top one by one: neither the stack nor the number of
    descriptors grows with the depth.
    """
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # POSIX lets unlink(2) say EPERM for directories
        if not stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode):
            raise
        _remove_directory(name, dir_fd)


def _remove_directory(name: str | bytes, dir_fd: int | None) -> None:
    top = open_directory(name, dir_fd=dir_fd)
    try:
        prefix = b"." + os.urandom(8).hex().encode() + b"."
        moved = 0
        pending = deque([b"."])
        while pending:
            here = pending.pop()
            fd = open_directory(here, dir_fd=top)
            try:
                for child in _unlink_files(fd):
                    if here == b".":
                        pending.append(child)
                        continue
                    moved += 1
                    target = prefix + str(moved).encode()
                    _move_up(child, fd, target, top)
                    pending.append(target)
            finally:
                os.close(fd)
            if here != b".":
                os.rmdir(here, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=dir_fd)


def _unlink_files(fd: int) -> list[bytes]:
    """Remove files and empty directories; return the names of the directories that are left."""
    left = []
    with os.scandir(fd) as entries:
        found = [
            (os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries
        ]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=fd)
            continue
        try:
            os.rmdir(name, dir_fd=fd)
        except OSError:
            left.append(name)
    return left


def _move_up(name: bytes, fd: int, target: bytes, top: int) -> None:
    try:
        os.rename(name, target, src_dir_fd=fd, dst_dir_fd=top)
    except PermissionError:  # moving a directory writes its ".."
        os.close(open_directory(name, dir_fd=fd))
        os.rename(name, target, src_dir_fd=fd, dst_dir_fd=top)


def open_directory(name: str | bytes, *, dir_fd: int | None = None) -> int:
    """Open a directory of ours for reading and changing; its mode is widened to allow that."""
    path = os.open(name, _PARENT, dir_fd=dir_fd)
    try:
        mode = os.fstat(path).st_mode
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(f"/proc/self/fd/{path}").chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
        return os.open(".", _READ, dir_fd=path)
    finally:
        os.close(path)


def measure(path: Path) -> int:
    """Return the bytes of all files below a directory; what has several names counts once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [os.fspath(path)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                there = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(there.st_mode):
                    pending.append(entry.path)
                elif there.st_nlink == 1:
                    total += there.st_size
                elif (there.st_dev, there.st_ino) not in seen:
                    seen.add((there.st_dev, there.st_ino))
                    total += there.st_size
    return total
