"""Copying out what a program left behind, without trusting a single name of it.

The sandbox writes to an overlay's upper directory, on a file system that outlives the sandbox
for as long as we hold a descriptor of it. Read merged as overlayfs merges (kernel
documentation, filesystems/overlayfs.rst, "userxattr"): a character device 0/0 is a whiteout,
``user.overlay.opaque`` hides what lies below. No symlink is ever followed, on either side.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local.paths import is_below
from wherry.errors import EngineError, UsageError

if TYPE_CHECKING:
    from wherry.models import Collect

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
_DEEPEST = 64
_REFUSED = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
"""What stands in the way, inside or where it is copied to; anything else is the disk's."""


@dataclass(slots=True)
class _Budget:
    collect: Collect
    bytes: int = 0
    files: int = 0
    depth: int = 0

    def spend(self, size: int) -> None:
        self.bytes += size
        if self.bytes > self.collect.max_bytes:
            self._refuse(f"more than {self.collect.max_bytes} bytes (max_bytes)")

    def count(self) -> None:
        self.files += 1
        if self.files > self.collect.max_files:
            self._refuse(f"more than {self.collect.max_files} files (max_files)")

    @contextmanager
    def below(self) -> Iterator[None]:
        """One directory deeper."""
        self.depth += 1
        if self.depth > _DEEPEST:
            self._refuse(f"directories nested more than {_DEEPEST} deep")
        yield
        self.depth -= 1

    def _refuse(self, what: str) -> None:
        raise UsageError(f"collect {self.collect.path!r}: the program left {what}")


@dataclass(slots=True)
class _Layers:
    """One directory as the program saw it: descriptors of its layers, uppermost first."""

    fds: list[int] = field(default_factory=list)

    def entries(self) -> Iterator[tuple[str, int]]:
        """Yield (name, descriptor of the layer it is in), each name once."""
        seen: set[str] = set()
        for fd in self.fds:
            for name in os.listdir(fd):  # noqa: PTH208 - a descriptor has no path
                if name not in seen:
                    seen.add(name)
                    if not _is_whiteout(name, fd):
                        yield name, fd

    def holder(self, name: str) -> int | None:
        """Return the descriptor of the layer in which a name is found."""
        for fd in self.fds:
            try:
                os.stat(name, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            return None if _is_whiteout(name, fd) else fd
        return None

    def enter(self, name: str, stack: ExitStack) -> _Layers:
        """Open a directory in every layer that takes part in it."""
        below = _Layers()
        for fd in self.fds:
            try:
                found = os.open(name, _DIRECTORY, dir_fd=fd)
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                break  # a whiteout, or something else in the place of what lies below
            stack.callback(os.close, found)
            below.fds.append(found)
            if _is_opaque(found):
                break
        return below


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where to find what a program saw."""

    scratch: int
    """Descriptor of its sandbox's own file system."""
    writable: Sequence[tuple[str, str]]
    """(name in it, path inside) of what was mounted from there; the rest is the overlay."""
    rootfs: Path
    """The image's."""

    def layers(self, path: str, stack: ExitStack) -> tuple[_Layers, str]:
        """Return the layers that a path inside is to be looked up in, and its rest there."""
        for name, place in self.writable:
            if is_below(path, place):
                return _Layers([self._open(name, stack)]), path[len(place) :]
        root = os.open(self.rootfs, _DIRECTORY)
        stack.callback(os.close, root)
        return _Layers([self._open("upper", stack), root]), path

    def _open(self, name: str, stack: ExitStack) -> int:
        fd = os.open(name, _DIRECTORY, dir_fd=self.scratch)
        stack.callback(os.close, fd)
        return fd


def collect_all(collects: Sequence[tuple[str, Collect]], written: Written) -> None:
    """Copy each (path inside without symlinks, what was asked) to its directory on the host.

    A path that the program did not make is no error: nothing comes of it. Raises
    :class:`UsageError` when it left more than was allowed, or what cannot be copied there;
    :class:`EngineError` when the disk fails or is full. What was copied so far stays.
    """
    for path, collect in collects:
        with ExitStack() as stack:
            try:
                layers, rest = written.layers(path, stack)
                _collect(rest, layers, _Budget(collect), stack)
            except _REFUSED as error:
                raise UsageError(f"collect {collect.path!r} to {collect.to!r}: {error}") from error
            except OSError as error:
                raise EngineError(f"collect {collect.path!r} to {collect.to!r}: {error}") from error


def _collect(path: str, layers: _Layers, budget: _Budget, stack: ExitStack) -> None:
    to = Path(budget.collect.to)
    to.mkdir(parents=True, exist_ok=True)
    target = os.open(to, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, target)
    *parents, name = path.strip("/").split("/")
    for parent in parents:
        layers = layers.enter(parent, stack)
    if not name:
        _copy_directory(layers, target, budget)
        return
    holder = layers.holder(name)
    if holder is None:
        return
    if stat.S_ISDIR(os.stat(name, dir_fd=holder, follow_symlinks=False).st_mode):
        _copy_directory(layers.enter(name, stack), target, budget)
    else:
        _copy_entry(name, layers, holder, target, budget)


def _copy_directory(layers: _Layers, target: int, budget: _Budget) -> None:
    for name, holder in layers.entries():
        _copy_entry(name, layers, holder, target, budget)


def _copy_entry(name: str, layers: _Layers, holder: int, target: int, budget: _Budget) -> None:
    found = os.stat(name, dir_fd=holder, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        budget.count()
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=target)
        with budget.below(), ExitStack() as stack:
            made = os.open(name, _DIRECTORY, dir_fd=target)
            stack.callback(os.close, made)
            _copy_directory(layers.enter(name, stack), made, budget)
    elif stat.S_ISREG(found.st_mode):
        budget.count()
        _copy_file(name, holder, target, budget)
    # Symlinks, devices, sockets and pipes stay inside: none means anything out here.


def _copy_file(name: str, holder: int, target: int, budget: _Budget) -> None:
    with ExitStack() as stack:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holder)
        stack.callback(os.close, source)
        mode = 0o755 if os.fstat(source).st_mode & 0o100 else 0o644
        # A new file each time: what stands there may be a link to somewhere else.
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        copy = os.open(name, flags, mode, dir_fd=target)
        stack.callback(os.close, copy)
        while data := os.read(source, _BLOCK):
            budget.spend(len(data))
            view = memoryview(data)
            while view:
                view = view[os.write(copy, view) :]


def _is_whiteout(name: str, fd: int) -> bool:
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, "user.overlay.opaque") == b"y"
    except OSError:
        return False
