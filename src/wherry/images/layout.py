"""Where an image store keeps what, and who may enter.

::

    blobs/sha256/…    content, named by its digest
    partial/          content still on its way in; locked by its writer
    rootfs/ID/        unpacked images; .tmp-… are being made or removed, locked meanwhile
    images/ID.json    one record for each unpacked image; locked shared by who runs it
    references.json   names
    locks/            short-lived locks
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wherry.errors import EngineUnavailable
from wherry.images.files import remove_abandoned
from wherry.images.locks import acquire, is_at, locked
from wherry.images.model import check_digest
from wherry.images.tree import remove

_TEMPORARY = ".tmp-"
REFERENCES, GARBAGE = "references", "garbage"
"""Locks that stay: on all names, and on blobs that belong to no image yet."""


class Layout:
    """The directories of one store."""

    def __init__(self, root: Path, *, owner: tuple[int, int] | None) -> None:
        self.root = root
        self.owner = owner
        self.rootfs = root / "rootfs"
        self.records = root / "images"
        self.partial = root / "partial"
        self.references = root / "references.json"
        self._locks = root / "locks"

    def make(self) -> None:
        """Make the directories, private to us; the way to a rootfs is open to its owner too.

        Nobody else can reach a setuid program that an image brought. Raises
        :class:`EngineUnavailable` when that cannot be had.
        """
        try:
            for path in (self.root, self.rootfs):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._restrict(path)
            for path in (self.root / "blobs", self.records, self.partial, self._locks):
                path.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise EngineUnavailable(
                f"the image store {self.root} cannot be used: {error.strerror}; "
                "choose another place with --data-dir"
            ) from error

    def rootfs_of(self, image_id: str) -> Path:
        """Return where an image is, or would be, unpacked."""
        return self.rootfs / _hex(image_id)

    def record_of(self, image_id: str) -> Path:
        """Return where an image's record is, or would be."""
        return self.records / f"{_hex(image_id)}.json"

    def lock_of(self, name: str) -> Path:
        """Return the path of a short-lived lock: of an image's id, or of something else."""
        return self._locks / name.rpartition(":")[2]

    @contextmanager
    def alone_with(self, image_id: str) -> Iterator[None]:
        """Wait until nobody else unpacks or removes an image, and keep it so for a block."""
        path = self.lock_of(image_id)
        with locked(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # who waits for it notices, and makes a new one

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Make a directory beside the unpacked images; what is left of it at the end goes.

        It is locked: :meth:`clean` knows by that whether its maker still lives.
        """
        path, fd = self._make_temporary()
        try:
            yield path
        finally:
            if is_at(fd, path):
                remove(str(path))
            os.close(fd)

    def discard(self, path: Path) -> None:
        """Remove a tree that others may look at: it is gone at once, or not at all."""
        with self.temporary() as temporary, suppress(FileNotFoundError):
            path.rename(temporary / "gone")

    def clean(self) -> None:
        """Remove what dead processes left: trees half unpacked or half removed, small files."""
        for path in _children(self.rootfs):
            if path.name.startswith(_TEMPORARY):
                remove_abandoned(path)
            elif not (self.records / f"{path.name}.json").exists():
                self._remove_unrecorded(path)
        for path in _children(self.partial):
            if path.name.startswith("new-"):
                remove_abandoned(path)
        for path in (*_children(self.records), *_children(self.root)):
            if path.name.startswith("."):
                remove_abandoned(path)
        for path in _children(self._locks):
            if path.name not in (REFERENCES, GARBAGE):
                remove_abandoned(path)

    def _remove_unrecorded(self, path: Path) -> None:
        """Remove a tree whose maker died before it wrote the record."""
        try:
            fd = acquire(self.lock_of(path.name), wait=False)
        except BlockingIOError:
            return
        try:
            if not (self.records / f"{path.name}.json").exists():
                self.discard(path)
            self.lock_of(path.name).unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _make_temporary(self) -> tuple[Path, int]:
        while True:
            path = self.rootfs / f"{_TEMPORARY}{os.urandom(8).hex()}"
            path.mkdir(mode=0o700)
            try:
                return path, acquire(path, create=False)
            except FileNotFoundError:  # cleaned away before we had the lock
                continue

    def _restrict(self, path: Path) -> None:
        there = path.stat()
        group = self.owner[1] if self.owner else there.st_gid
        mode = 0o710 if self.owner else 0o700
        if there.st_gid != group:
            os.chown(path, -1, group)
        if stat.S_IMODE(there.st_mode) != mode:
            path.chmod(mode)


def _children(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except FileNotFoundError:
        return []


def _hex(image_id: str) -> str:
    return check_digest(image_id).partition(":")[2]
