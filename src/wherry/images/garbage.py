"""What a store no longer needs, and how much it takes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import ImageInUse, ImageNotFound, UsageError
from wherry.images.index import Index, canonical, read_manifest
from wherry.images.layout import GARBAGE
from wherry.images.locks import acquire
from wherry.images.tree import measure

if TYPE_CHECKING:
    from wherry.images.blobs import BlobStore
    from wherry.images.layout import Layout
    from wherry.images.model import Descriptor, Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal took away."""

    references: tuple[str, ...]
    """Names that are gone."""
    images: tuple[str, ...] = ()
    """Ids of images that are gone; empty while another name keeps the image."""
    bytes: int = 0
    """Freed on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune took away."""

    references: tuple[str, ...]
    images: tuple[str, ...]
    """Ids."""
    bytes: int
    """Freed on the disk."""
    kept_blobs: bool = False
    """Whether blobs were left alone, because a pull was on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes on the disk."""

    images: int
    """How many there are."""
    blobs: int
    shared: int
    """Bytes of those blobs that more than one image uses."""
    rootfs: int
    partial: int
    """Of pulls that are on their way or were interrupted."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.blobs + self.rootfs + self.partial


class Garbage:
    """Removes images, and what only they needed."""

    def __init__(self, layout: Layout, index: Index, blobs: BlobStore) -> None:
        self._layout = layout
        self._index = index
        self._blobs = blobs

    def remove(self, image: Image, text: str, *, force: bool) -> Removed:
        """Remove a name of an image, or the image."""
        names = image.references
        going = _names_meant(names, text)
        if not going:
            if len(names) > 1 and not force:
                raise UsageError(
                    f"image {text!r} has {len(names)} names ({', '.join(names)}); "
                    "remove it by name, or all of them with force"
                )
            going = names
        if set(going) != set(names):
            with self._index.changing() as table:
                for name in going:
                    table.pop(name, None)
            return Removed(references=going)
        blobs = set(self._blobs_of(image.id))
        freed = self._delete(image.id, going)
        freed += self._sweep(blobs) or 0
        return Removed(references=going, images=(image.id,), bytes=freed)

    def prune(self, images: Iterable[Image], *, all: bool) -> Pruned:  # noqa: A002
        """Remove what nobody needs: images, then blobs, then what interrupted pulls left."""
        gone: list[Image] = []
        freed = 0
        for image in images:
            if image.references and not all:
                continue
            try:
                freed += self._delete(image.id, image.references)
            except (ImageInUse, ImageNotFound):
                continue
            gone.append(image)
        swept = self._sweep(None)
        freed += (swept or 0) + self._sweep_partial()
        return Pruned(
            references=tuple(name for image in gone for name in image.references),
            images=tuple(image.id for image in gone),
            bytes=freed,
            kept_blobs=swept is None,
        )

    def usage(self) -> Usage:
        """Add up what there is."""
        records = list(self._index.records())
        used: dict[str, int] = {}
        for record in records:
            for digest in self._blobs_of(record.image_id):
                used[digest] = used.get(digest, 0) + 1
        sizes = {digest: _size(path) for digest, path in self._all_blobs()}
        temporary = [p for p in self._layout.rootfs.iterdir() if p.name.startswith(".")]
        return Usage(
            images=len(records),
            blobs=sum(sizes.values()),
            shared=sum(sizes.get(digest, 0) for digest, users in used.items() if users > 1),
            rootfs=sum(record.size for record in records),
            partial=sum(_size(path) for path in self._layout.partial.iterdir())
            + sum(_measure(path) for path in temporary),
        )

    def _delete(self, image_id: str, names: tuple[str, ...]) -> int:
        """Remove an image that has these names and no others; return the bytes freed."""
        with self._alone(image_id):
            record = self._index.record(image_id)
            if record is None:
                raise ImageNotFound(f"image {image_id} was removed meanwhile")
            with self._index.changing() as table:
                now = [name for name, meant in table.items() if meant.image_id == image_id]
                if set(now) - set(names):
                    raise ImageInUse(f"image {image_id} was just given another name: {now}")
                for name in now:
                    del table[name]
            # From here on it is gone for everybody: what a crash leaves, clean() removes.
            self._layout.record_of(image_id).unlink()
            self._layout.discard(self._layout.rootfs_of(image_id))
            return record.size

    @contextmanager
    def _alone(self, image_id: str) -> Iterator[None]:
        """Hold an image that nobody unpacks or runs; raises :class:`ImageInUse`."""
        with self._layout.alone_with(image_id):
            try:
                fd = acquire(self._layout.record_of(image_id), wait=False, create=False)
            except BlockingIOError as error:
                raise ImageInUse(
                    f"image {image_id} is in use: a container runs from it (see `wherry ps`)"
                ) from error
            except FileNotFoundError as error:
                raise ImageNotFound(f"image {image_id} was removed meanwhile") from error
            try:
                yield
            finally:
                os.close(fd)

    def _sweep(self, digests: set[str] | None) -> int | None:
        """Remove those blobs (None: all) that no image uses; None when a pull may need them."""
        try:
            garbage = acquire(self._layout.lock_of(GARBAGE), wait=False)
        except BlockingIOError:
            return None
        try:
            used = {
                digest
                for record in self._index.records()
                for digest in self._blobs_of(record.image_id)
            }
            freed = 0
            for digest, path in self._all_blobs():
                if digest not in used and (digests is None or digest in digests):
                    freed += _size(path)
                    path.unlink(missing_ok=True)
            return freed
        finally:
            os.close(garbage)

    def _sweep_partial(self) -> int:
        freed = 0
        for path in self._layout.partial.iterdir():
            try:
                fd = acquire(path, wait=False, create=False)
            except (BlockingIOError, FileNotFoundError):
                continue
            freed += _size(path)
            path.unlink()
            os.close(fd)
        return freed

    def _blobs_of(self, image_id: str) -> Iterator[str]:
        """Yield the digests that an image uses, by any of its manifests."""
        record = self._index.record(image_id)
        manifests: dict[str, Descriptor] = {}
        if record:
            manifests[record.manifest.digest] = record.manifest
        for name in self._index.names().values():
            if name.image_id == image_id:
                manifests[name.manifest.digest] = name.manifest
        yield image_id
        for digest in manifests:
            yield digest
            if self._blobs.has(digest):
                yield from (
                    layer.digest for layer in read_manifest(self._blobs.read(digest)).layers
                )

    def _all_blobs(self) -> Iterator[tuple[str, Path]]:
        for path in (self._layout.root / "blobs").glob("*/*"):
            yield f"{path.parent.name}:{path.name}", path


def _names_meant(names: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Return the names that go when one of them is removed; none when the text is an id."""
    try:
        meant = canonical(text)
    except UsageError:
        return ()
    if meant.digest and str(meant) not in names:
        home = f"{meant.registry}/{meant.repository}"
        return tuple(name for name in names if name.startswith((f"{home}:", f"{home}@")))
    if str(meant) not in names:
        return ()
    rest = [name for name in names if name != str(meant)]
    same = [name for name in rest if name.startswith(f"{meant.registry}/{meant.repository}@")]
    # A pull by tag may note the digest too; without its last tag that is no name to keep.
    return (str(meant), *same) if len(same) == len(rest) else (str(meant),)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _measure(path: Path) -> int:
    try:
        return measure(path)
    except FileNotFoundError:  # it is just being removed
        return 0
