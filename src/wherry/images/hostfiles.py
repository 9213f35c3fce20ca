"""Files of this machine, gathered with the links that lead to them, for a layer of an image."""

# Paths are text here: pathlib would tidy what has to stay as it is.
# ruff: noqa: PTH100, PTH112, PTH113, PTH114, PTH115, PTH116, PTH118, PTH120, PTH123
from __future__ import annotations

import io
import os
import posixpath
import stat
import tarfile
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from wherry.errors import ImageError, UsageError
from wherry.images.linking import Library, libraries

_LINKS = 40
_SCRIPTS = 4
_DIRECTORIES = {
    "/dev": 0o755,
    "/etc": 0o755,
    "/proc": 0o755,
    "/root": 0o700,
    "/run": 0o755,
    "/sys": 0o755,
    "/tmp": 0o1777,  # noqa: S108 - the image's
    "/var/tmp": 0o1777,  # noqa: S108
}
_SHORT_NAMES = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"


class Sink(Protocol):
    """What a layer is written to."""

    def write(self, data: bytes, /) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands at one path of the image."""

    mode: int
    link: str | None = None
    source: str | None = None
    """Path on this machine; None with no link and no data is a directory."""
    data: bytes | None = None


class HostFiles:
    """Paths of this machine and what they need, to be written as one layer.

    Everything belongs to root there, modes are 0755 or 0644, the times of files are kept (a
    compiled Python module is only used with the time of its source): the same files give the
    same bytes.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {
            path: _Entry(stat.S_IFDIR | mode) for path, mode in _DIRECTORIES.items()
        }
        self._entries["/etc/passwd"] = _Entry(stat.S_IFREG | 0o644, data=_PASSWD)
        self._entries["/etc/group"] = _Entry(stat.S_IFREG | 0o644, data=_GROUP)
        self._libc = ""

    def add_program(self, path: str, *, which: Which) -> None:
        """Add a program with its libraries; a script comes with its interpreter."""
        for _ in range(_SCRIPTS):
            real = self._add_path(path)
            self._add_libraries(real)
            interpreter = _interpreter(real)
            if not interpreter:
                return
            self._add_libraries(self._add_path(interpreter[0]))
            path = which(interpreter[1]) if len(interpreter) > 1 else interpreter[0]
        raise UsageError(f"program {path!r}: an interpreter of an interpreter of a script")

    def add_file(self, target: str, *, source: str) -> None:
        """Put a file of this machine at another place, with the libraries it needs."""
        if not target.startswith("/") or ".." in target.split("/"):
            raise UsageError(f"file {target!r}: must be an absolute path without '..'")
        self._add_regular(posixpath.normpath(target), os.path.realpath(source))
        self._add_libraries(source)

    def add_tree(self, path: str) -> None:
        """Add a whole directory at its own place, with the libraries that files in it need."""
        if not os.path.isdir(path):
            raise UsageError(f"tree {path!r} is no directory of this machine")
        for top, directories, files in os.walk(self._add_path(path), onerror=_unreadable):
            self._entries.setdefault(top, _Entry(stat.S_IFDIR | 0o755))
            for name in (*directories, *files):
                self._add_of_tree(os.path.join(top, name))

    def write(self, sink: Sink) -> None:
        """Write the layer as a tar stream, sorted by path."""
        self._add_short_names()
        for path in list(self._entries):
            self._add_parents(path)
        with tarfile.open(fileobj=_Writable(sink), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self._entries):
                _write_entry(tar, path, self._entries[path])

    def _add_path(self, path: str) -> str:
        """Add what is at a path and every link on the way there; return where it really is."""
        where, links = "", 0
        todo = deque(os.path.abspath(path).split("/"))
        while todo:
            name = todo.popleft()
            if name in ("", ".", ".."):
                where = posixpath.dirname(where) if name == ".." else where
                continue
            here = f"{where}/{name}"
            if not os.path.islink(here):
                where = here
                continue
            target = os.readlink(here)
            links += 1
            if links > _LINKS:
                raise UsageError(f"{path!r} leads through more than {_LINKS} links")
            self._entries[here] = _Entry(stat.S_IFLNK | 0o777, link=target)
            where = "" if target.startswith("/") else where
            todo.extendleft(reversed(target.split("/")))
        if not os.path.isdir(where):
            self._add_regular(where, where)
        return where or "/"

    def _add_regular(self, target: str, source: str) -> None:
        try:
            there = os.stat(source)
        except OSError as error:
            raise UsageError(f"{source!r} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(there.st_mode):
            raise UsageError(f"{source!r} is no regular file")
        if not os.access(source, os.R_OK):
            raise UsageError(f"{source!r} cannot be read by this user")
        mode = 0o755 if there.st_mode & 0o111 else 0o644
        self._entries[target] = _Entry(stat.S_IFREG | mode, source=source)

    def _add_of_tree(self, path: str) -> None:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode) and not os.path.isfile(path):
            self._entries[path] = _Entry(stat.S_IFLNK | 0o777, link=os.readlink(path))
        elif stat.S_ISLNK(mode) or stat.S_ISREG(mode):
            self._add_libraries(self._add_path(path), must=False)

    def _add_libraries(self, path: str, *, must: bool = True) -> None:
        """Add the shared libraries of an ELF file; those of others are none."""
        found = _libraries(path, must=must)
        for library in found:
            self._add_path(library.path)
            if library.name == "libc.so.6":
                self._libc = os.path.dirname(library.path)
        for library in found:
            if library.by_cache and self._libc:
                # The image has no ld.so.cache: let ld.so find it where it looks by itself.
                name = f"{os.path.realpath(self._libc)}/{library.name}"
                link = _Entry(stat.S_IFLNK | 0o777, link=library.path)
                self._entries.setdefault(name, link)

    def _add_short_names(self) -> None:
        """Keep /bin and the like where they are links, for scripts that say #!/bin/sh."""
        for path in _SHORT_NAMES:
            if os.path.islink(path) and any(
                name.startswith(os.path.realpath(path) + "/") for name in self._entries
            ):
                link = _Entry(stat.S_IFLNK | 0o777, link=os.readlink(path))
                self._entries.setdefault(path, link)

    def _add_parents(self, path: str) -> None:
        above = posixpath.dirname(path)
        while above != "/" and above not in self._entries:
            self._entries[above] = _Entry(stat.S_IFDIR | 0o755)
            above = posixpath.dirname(above)


class Which(Protocol):
    """Finds a program by its name, or raises."""

    def __call__(self, name: str, /) -> str: ...  # noqa: D102


class _Writable(io.RawIOBase):
    """A sink with what tarfile asks of a file."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        return self._sink.write(data)


def _unreadable(error: OSError) -> None:
    raise UsageError(f"{error.filename!r} cannot be read: {error.strerror}") from error


def _libraries(path: str, *, must: bool) -> list[Library]:
    try:
        return libraries(path, must=must)
    except ImageError:
        if must:
            raise
        return []  # a broken file in a tree is data to somebody


def _interpreter(path: str) -> tuple[str, ...]:
    """Return the interpreter of a script, and the program that `env` is to find for it."""
    with open(path, "rb") as file:
        line = file.read(256).split(b"\n", 1)[0]
    if not line.startswith(b"#!"):
        return ()
    words = os.fsdecode(line[2:]).split()
    if not words:
        return ()
    if posixpath.basename(words[0]) != "env":
        return (words[0],)
    named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0], *named[:1]


def _write_entry(tar: tarfile.TarFile, path: str, entry: _Entry) -> None:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.mode = stat.S_IMODE(entry.mode)
    if entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        tar.addfile(info)
    elif entry.data is not None:
        info.size = len(entry.data)
        tar.addfile(info, io.BytesIO(entry.data))
    elif entry.source is not None:
        _write_file(tar, info, entry.source)
    else:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)


def _write_file(tar: tarfile.TarFile, info: tarfile.TarInfo, source: str) -> None:
    try:
        with open(source, "rb") as file:
            there = os.fstat(file.fileno())
            info.size, info.mtime = there.st_size, int(there.st_mtime)
            tar.addfile(info, file)
    except OSError as error:
        raise ImageError(f"{source!r} cannot be read: {error}") from error
