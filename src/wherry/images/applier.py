"""One layer's entries, applied to a tree.

What an entry may do follows Docker: a path is taken relative to the root, links among its
parents lead to where they would inside a container, an existing file is replaced and never
written through. What needs privileges is left out: device nodes are skipped, ownership is one
user's, ``security.*`` and ``trusted.*`` attributes are dropped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import ImageCorrupt, ImageError
from wherry.images.files import write_all
from wherry.images.tree import Parts, Tree, open_directory, remove, show, split

if TYPE_CHECKING:
    from wherry.images.stream import ByteStream
    from wherry.images.tar import Entry

_WHITEOUT = b".wh."
_META = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EARLIEST, _LATEST = -(1 << 31), 1 << 33
_NAME_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENOENT, errno.EMLINK)


class Applier(Tree):
    """The tree that layers are applied to."""

    def __init__(self, root: Path, *, owner: tuple[int, int] | None = None) -> None:
        super().__init__(root)
        self._root = root
        self._owner = owner
        self._root_mode = 0o755
        self._times: dict[Parts, int] = {}
        self._fresh: set[Parts] = set()
        self._above_fresh: set[Parts] = set()

    def apply(self, entries: Iterable[Entry], stream: ByteStream) -> None:
        """Apply one layer; whiteouts hide what is of lower layers only."""
        self._fresh.clear()
        self._above_fresh.clear()
        for entry in entries:
            parts = _clean(entry.name)
            try:
                self._apply_one(entry, parts, stream)
            except OSError as error:
                raise _explain(error, parts) from error
        self._set_times()

    def finish(self) -> None:
        """Give the root its own mode: up to here nobody else could enter."""
        fd = open_directory(os.fsencode(self._root))
        try:
            self._own(fd)
            os.fchmod(fd, self._root_mode | stat.S_IRWXU)
        finally:
            os.close(fd)

    def made(self, parts: Parts, above: int) -> None:
        """Give a directory that no entry describes the mode that Docker gives it."""
        fd = open_directory(parts[-1], dir_fd=above)
        try:
            self._own(fd)
            os.fchmod(fd, 0o755)
        finally:
            os.close(fd)

    def _apply_one(self, entry: Entry, parts: Parts, stream: ByteStream) -> None:
        if not parts:
            self._apply_root(entry)
        elif _WHITEOUT in entry.name and self._apply_whiteout(parts):
            pass
        elif entry.kind == "link":
            self._make_link(entry, parts)
        elif entry.kind != "other":
            self._make_entry(entry, parts, stream)

    def _apply_whiteout(self, parts: Parts) -> bool:
        """Hide what a whiteout names; False when the entry is none."""
        name = parts[-1]
        if any(part.startswith(_META) for part in parts):
            if name == _OPAQUE:
                self._hide_children(parts[:-1])
            return True  # the others are aufs' own files: nobody's content
        if name.startswith(_WHITEOUT):
            self._hide(parts)
            return True
        return False

    def _make_entry(self, entry: Entry, parts: Parts, stream: ByteStream) -> None:
        parent, where = self.make(parts[:-1])
        path = (*where, parts[-1])
        self._remember(path)
        match entry.kind:
            case "file":
                self._write_file(entry, path, parent, stream)
            case "dir":
                self._make_directory(entry, path, parent)
            case "symlink" | "fifo":
                self._make_special(entry, path, parent)
            case _:  # a device needs root; a container has a /dev of its own
                self._clear(path, parent)

    def _apply_root(self, entry: Entry) -> None:
        if entry.kind != "dir":
            raise ImageCorrupt(f"{entry.name!r:.200}: the root can only be a directory")
        self._root_mode = _directory_mode(entry)
        self._times[()] = entry.mtime_ns

    def _write_file(self, entry: Entry, path: Parts, parent: int, stream: ByteStream) -> None:
        try:
            fd = os.open(path[-1], _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(path, parent)
            fd = os.open(path[-1], _CREATE, 0o600, dir_fd=parent)
        try:
            if entry.pieces is None:
                _copy(stream, fd, entry.size, path)
            else:
                os.ftruncate(fd, entry.size)
                for offset, length in entry.pieces:
                    os.lseek(fd, offset, os.SEEK_SET)
                    _copy(stream, fd, length, path)
            self._own(fd)
            _set_attributes(fd, entry)
            # Setuid and setgid bits stay: the directory above every rootfs admits nobody but
            # its owner (0700, or 0710 for the sandbox's own group), and a sandbox ignores them.
            os.fchmod(fd, entry.mode | stat.S_IRUSR)
            time = _clamp(entry.mtime_ns)
            os.utime(fd, ns=(time, time))
        finally:
            os.close(fd)

    def _make_directory(self, entry: Entry, path: Parts, parent: int) -> None:
        """Make a directory, or give one that exists new attributes: directories are merged."""
        try:
            os.mkdir(path[-1], 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path[-1], dir_fd=parent).st_mode):
                self._clear(path, parent)
                os.mkdir(path[-1], 0o700, dir_fd=parent)
        fd = open_directory(path[-1], dir_fd=parent)
        try:
            self._own(fd)
            _set_attributes(fd, entry)
            os.fchmod(fd, _directory_mode(entry))
        finally:
            os.close(fd)
        self._times[path] = entry.mtime_ns

    def _make_special(self, entry: Entry, path: Parts, parent: int) -> None:
        name = path[-1]
        try:
            _symlink_or_fifo(entry, name, parent)
        except FileExistsError:
            self._clear(path, parent)
            _symlink_or_fifo(entry, name, parent)
        if self._owner:
            os.chown(name, *self._owner, dir_fd=parent, follow_symlinks=False)
        if entry.kind == "fifo":
            os.chmod(name, entry.mode | stat.S_IRUSR, dir_fd=parent)
        time = _clamp(entry.mtime_ns)
        os.utime(name, ns=(time, time), dir_fd=parent, follow_symlinks=False)

    def _make_link(self, entry: Entry, parts: Parts) -> None:
        """Make a hard link; its target may be of a lower layer, and is itself never followed."""
        target = _clean(entry.link)
        found = self.find(target[:-1]) if target else None
        if found is None:
            raise ImageCorrupt(f"{show(parts)} is a link to {show(target)}, which does not exist")
        source = os.dup(found[0])
        try:
            fd, where = self.make(parts[:-1])
            path = (*where, parts[-1])
            self._remember(path)
            if path == (*found[1], target[-1]):
                return
            try:
                _hard_link(target[-1], source, path[-1], fd)
            except FileExistsError:
                self._clear(path, fd)
                _hard_link(target[-1], source, path[-1], fd)
        except (FileNotFoundError, PermissionError) as error:
            raise ImageCorrupt(
                f"{show(parts)} cannot be a link to {show(target)}: {error.strerror}"
            ) from error
        finally:
            os.close(source)

    def _clear(self, path: Parts, parent: int) -> None:
        """Remove what an entry replaces."""
        self.forget(path[:-1])
        remove(path[-1], dir_fd=parent)

    def _remember(self, path: Parts) -> None:
        """Note what is of this layer, which its own whiteouts do not hide."""
        self._fresh.add(path)
        above = path[:-1]
        while above not in self._above_fresh:
            self._above_fresh.add(above)
            above = above[:-1]

    def _hide(self, parts: Parts) -> None:
        name = parts[-1][len(_WHITEOUT) :]
        if name in (b"", b".", b".."):
            raise ImageCorrupt(f"{show(parts)} is a whiteout of nothing that can be")
        found = self.find(parts[:-1])
        if found is not None:
            self._hide_path((*found[1], name), found[0])

    def _hide_children(self, parts: Parts) -> None:
        found = self.find(parts)
        if found is None:
            return
        self.forget(found[1])
        fd = open_directory(b".", dir_fd=found[0])
        try:
            with os.scandir(fd) as children:
                names = [os.fsencode(child.name) for child in children]
            for name in names:
                self._hide_path((*found[1], name), fd)
        finally:
            os.close(fd)

    def _hide_path(self, path: Parts, parent: int) -> None:
        if path not in self._fresh and path not in self._above_fresh:
            self._clear(path, parent)
        elif _is_directory(path[-1], parent):
            self._hide_children(path)

    def _set_times(self) -> None:
        """Set the times of directories at the end: making files in them changed those."""
        for path, time in self._times.items():
            found = self.find(path)
            if found and found[1] == path:
                fd = open_directory(b".", dir_fd=found[0])
                os.utime(fd, ns=(_clamp(time), _clamp(time)))
                os.close(fd)
        self._times.clear()

    def _own(self, fd: int) -> None:
        if self._owner:
            os.fchown(fd, *self._owner)


def _clean(name: bytes) -> Parts:
    """Read an archive's path as Docker does: relative to the root, ``a/../b`` is ``b``."""
    parts: list[bytes] = []
    for part in split(name):
        if part != b"..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise ImageCorrupt(f"{name!r:.300} leads out of the image")
    return tuple(parts)


def _copy(stream: ByteStream, fd: int, size: int, path: Parts) -> None:
    for piece in stream.pieces(size):
        write_all(fd, piece)
        size -= len(piece)
    if size:
        raise ImageCorrupt(f"tar: cut short inside {show(path)}, {size} bytes are missing")


def _hard_link(name: bytes, source: int, new: bytes, parent: int) -> None:
    os.link(name, new, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)


def _symlink_or_fifo(entry: Entry, name: bytes, parent: int) -> None:
    if entry.kind == "symlink":
        os.symlink(entry.link, name, dir_fd=parent)
    else:
        os.mkfifo(name, 0o600, dir_fd=parent)


def _set_attributes(fd: int, entry: Entry) -> None:
    for name, value in entry.xattrs.items():
        # An image's "user.overlay.*" would steer the overlay mount that the image is a layer of.
        if name.startswith("user.") and not name.startswith("user.overlay."):
            with suppress(OSError):  # a file system without attributes, or a value too large
                os.setxattr(fd, name, value)


def _directory_mode(entry: Entry) -> int:
    # Always open to its owner, as any directory is to root in Docker: there are no capabilities
    # in a sandbox to make up for it, and what cannot be listed cannot be removed.
    return entry.mode | stat.S_IRWXU


def _is_directory(name: bytes, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
    except FileNotFoundError:
        return False


def _clamp(time_ns: int) -> int:
    return max(_EARLIEST, min(time_ns // 10**9, _LATEST)) * 10**9 + time_ns % 10**9


def _explain(error: OSError, parts: Parts) -> ImageError:
    what = f"cannot unpack {show(parts)}: {error.strerror}"
    if error.errno in _NAME_ERRORS:
        return ImageCorrupt(what)
    return ImageError(what)
