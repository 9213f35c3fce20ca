"""Content-addressed blobs: verified once, on the way in, and never changed after."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from wherry.errors import ImageCorrupt, ImageNotFound
from wherry.images.files import sync_directory, write_all
from wherry.images.locks import acquire, is_at
from wherry.images.model import Descriptor, check_digest

_READ = 1 << 20


class BlobStore:
    """The directory of an image store that holds blobs, and those still being fetched."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self.partial = root / "partial"

    def path(self, digest: str) -> Path:
        """Return where a blob is, or would be; raises :class:`ImageCorrupt` for no digest."""
        algorithm, _, value = check_digest(digest).partition(":")
        return self._blobs / algorithm / value

    def has(self, digest: str) -> bool:
        """Whether the blob is here, complete and verified."""
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        """Return a small blob (a manifest or a configuration) whole."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise ImageNotFound(f"blob {digest} is not in {self._blobs}; pull it again") from error

    def begin(self, descriptor: Descriptor) -> BlobWriter:
        """Start or resume a blob: ``with blobs.begin(descriptor) as writer``.

        Entering takes an exclusive lock on the digest, across processes, and **blocks** while
        somebody else writes the same blob: inside asyncio enter it in a thread, and let the
        tasks of one process wait for each other by other means, or they can use up the pool.
        Do it within :meth:`ImageStore.pulling`, or a prune may take the blob before its image
        is registered.
        """
        return BlobWriter(self, descriptor)

    def create(self) -> NewBlob:
        """Start a blob whose digest is only known at its end: ``with blobs.create() as new``."""
        return NewBlob(self)

    def put(self, data: bytes, *, media_type: str) -> Descriptor:
        """Store a small blob and describe it. Idempotent."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        descriptor = Descriptor(media_type=media_type, digest=digest, size=len(data))
        with self.begin(descriptor) as writer:
            if not writer.done:
                writer.restart()
                writer.write(data)
                writer.commit()
        return descriptor

    def keep(self, temporary: Path, digest: str) -> None:
        """Move a verified, synced file to its final name."""
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.rename(path)
        sync_directory(path.parent)

    def partial_path(self, name: str) -> Path:
        """Return a path in the directory of unfinished blobs, which is made if missing."""
        self.partial.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.partial / name


class BlobWriter:
    """One blob on its way in, under an exclusive lock on its digest.

    Leaving the block without :meth:`commit` keeps what was written, so that the next fetch
    can resume.
    """

    def __init__(self, store: BlobStore, descriptor: Descriptor) -> None:
        self._store = store
        self._path = store.partial / descriptor.digest.replace(":", "-")
        self._fd = -1
        self._hash = hashlib.new(check_digest(descriptor.digest).partition(":")[0])
        self.descriptor = descriptor
        self.done = False
        """Whether the blob is complete: somebody else had it, or :meth:`commit` succeeded."""
        self.offset = 0
        """Bytes that are here already: fetch from this one on. May equal the size: commit."""

    def __enter__(self) -> Self:
        if self._store.has(self.descriptor.digest):
            self.done = True
            return self
        self._fd = acquire(self._store.partial_path(self._path.name))
        try:
            self._take_over()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0 and not self.offset:
            self._delete()
        self._close()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; raises :class:`ImageCorrupt` as soon as there are more than promised."""
        if self.offset + len(data) > self.descriptor.size:
            self._refuse(f"it is longer than the {self.descriptor.size} bytes promised")
        write_all(self._fd, data)
        self._hash.update(data)
        self.offset += len(data)

    def restart(self) -> None:
        """Forget the bytes that were here: the server sends the blob from its start."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.new(self._hash.name)
        self.offset = 0

    def commit(self) -> None:
        """Verify size and digest, and make the blob visible; idempotent.

        Raises :class:`ImageCorrupt`, and deletes what was fetched, when either is wrong.
        """
        if self.done:
            return
        expected = self.descriptor
        if self.offset != expected.size:
            self._refuse(f"expected {expected.size} bytes, got {self.offset}")
        got = f"{self._hash.name}:{self._hash.hexdigest()}"
        if got != expected.digest:
            self._refuse(f"expected that digest, got {got}")
        os.fsync(self._fd)
        self._store.keep(self._path, expected.digest)
        self.done = True
        self._close()

    def _take_over(self) -> None:
        if self._store.has(self.descriptor.digest):  # finished while we waited for the lock
            self._delete()
            self._close()
            self.done = True
            return
        while data := os.read(self._fd, _READ):
            self._hash.update(data)
            self.offset += len(data)
        if self.offset > self.descriptor.size:
            self.restart()

    def _refuse(self, why: str) -> None:
        self._delete()
        self._close()
        self.offset = 0
        raise ImageCorrupt(f"blob {self.descriptor.digest} is not what it should be: {why}")

    def _delete(self) -> None:
        if is_at(self._fd, self._path):
            self._path.unlink()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class NewBlob:
    """A blob of ours: written first, named by its digest afterwards, gone without a commit."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self.path = store.partial / f"new-{os.urandom(8).hex()}"
        """Where it is until it has its name."""
        self._fd = -1
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        # The lock says that its writer lives; recovery removes what nobody holds.
        self._fd = acquire(self._store.partial_path(self.path.name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if is_at(self._fd, self.path):
            self.path.unlink()
        os.close(self._fd)

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; returns how many."""
        write_all(self._fd, data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def commit(self, *, media_type: str) -> Descriptor:
        """Name the blob by its digest and describe it."""
        digest = "sha256:" + self._hash.hexdigest()
        if not self._store.has(digest):
            os.fsync(self._fd)
            self._store.keep(self.path, digest)
        return Descriptor(media_type=media_type, digest=digest, size=self.size)
