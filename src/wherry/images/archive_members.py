"""The members of an image archive: a tar file, compressed or not, or a directory.

Names in an archive are only looked up, never used as paths of the file system.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from wherry.errors import ImageCorrupt, ImageError, ImageNotFound
from wherry.images.compression import decompress, sniff

if TYPE_CHECKING:
    from wherry.images.blobs import BlobStore

_JSON_BYTES = 8 << 20
_LINKS = 8


class Members(Protocol):
    """Named pieces of an archive."""

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        ...

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """Open a member; returns its size too. Raises :class:`ImageCorrupt` without it."""
        ...


def read_small(members: Members, name: str) -> bytes:
    """Return a member that holds JSON; raises :class:`ImageCorrupt` when it is too large."""
    file, size = members.open(name)
    with file:
        if size > _JSON_BYTES:
            raise ImageCorrupt(f"archive: {name!r} of {size} bytes is too large")
        return file.read(size)


@contextmanager
def opened(path: Path, *, blobs: BlobStore) -> Iterator[Members]:
    """Open an archive; what is compressed is unpacked into the store's partial directory."""
    if path.is_dir():
        yield _Directory(path)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageNotFound(f"archive {str(path)!r} cannot be read: {error.strerror}") from error
    with file:
        if sniff(file) == "tar":
            with _tar(file, path) as members:
                yield members
            return
        with blobs.create() as plain:
            for chunk in decompress(file):
                plain.write(chunk)
            with plain.path.open("rb") as unpacked, _tar(unpacked, path) as members:
                yield members


@contextmanager
def _tar(file: IO[bytes], path: Path) -> Iterator[Members]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield _Tar(tar)
    except tarfile.TarError as error:
        raise ImageError(f"{str(path)!r} is no image archive, or cut short: {error}") from error


class _Directory:
    """An OCI image layout."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, name: str) -> bool:
        return (self._root / name).is_file()

    def open(self, name: str) -> tuple[IO[bytes], int]:
        path = self._root / name
        try:
            return path.open("rb"), path.stat().st_size
        except OSError as error:
            raise ImageCorrupt(f"archive: {name!r} cannot be read: {error.strerror}") from error


class _Tar:
    """A tar file, whose later members replace earlier ones of the same name."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {posixpath.normpath(member.name): member for member in tar}

    def has(self, name: str) -> bool:
        return posixpath.normpath(name) in self._members

    def open(self, name: str) -> tuple[IO[bytes], int]:
        member = self._find(posixpath.normpath(name))
        file = self._tar.extractfile(member) if member and member.isreg() else None
        if member is None or file is None:
            raise ImageCorrupt(f"archive: it has no file {name!r}")
        return file, member.size

    def _find(self, name: str) -> tarfile.TarInfo | None:
        """Find a file; old `docker save` links layers that several images share."""
        for _ in range(_LINKS):
            member = self._members.get(name)
            if member is None or member.isreg():
                return member
            if member.issym():
                name = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                name = posixpath.normpath(member.linkname)
            else:
                return None
        return None
