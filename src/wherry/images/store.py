"""The images of this machine: verified, unpacked once, named, leased and removed.

Several processes may use one store at the same time; all that ties them together are locks
that end with their holders (see :mod:`wherry.images.layout`).
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import ImageError, ImageNotFound, UsageError
from wherry.images.blobs import BlobStore
from wherry.images.garbage import Garbage, Pruned, Removed, Usage
from wherry.images.index import Index, Name, canonical
from wherry.images.layout import GARBAGE, Layout
from wherry.images.lease import Lease, lease
from wherry.images.locks import locked
from wherry.images.model import (
    MANIFEST_TYPES,
    Descriptor,
    Image,
)

if TYPE_CHECKING:
    from wherry.images.unpack import UnpackLimits

__all__ = ["ImageStore", "Lease", "Pruned", "Removed", "Usage"]


class ImageStore:
    """A directory of images. Its methods block; opening one does nothing yet.

    ``owner`` (uid, gid; needs root) is who the unpacked files are given to, and the only other
    one who can enter them: who sandboxes run as. None is the caller.
    """

    def __init__(
        self,
        root: Path,
        *,
        owner: tuple[int, int] | None = None,
        limits: UnpackLimits | None = None,
    ) -> None:
        if owner == (os.geteuid(), os.getegid()):
            owner = None
        if owner and os.geteuid() != 0:
            raise UsageError(f"owner {owner!r}: only root can give files to another user")
        self.root = root
        self.blobs = BlobStore(root)
        self._limits = limits
        self._layout = Layout(root, owner=owner)
        self._index = Index(self._layout)
        self._garbage = Garbage(self._layout, self._index, self.blobs)
        self._ready = False

    def find(self, reference: str) -> Image | None:
        """Return an image by its name, ``NAME@DIGEST`` or (the start of) its id; or None."""
        return self._index.find(reference)

    def get(self, reference: str) -> Image:
        """Return an image as :meth:`find` does; raises :class:`ImageNotFound`."""
        image = self.find(reference)
        if image is None:
            raise ImageNotFound(
                f"image {reference!r} is not on this machine; `wherry image pull {reference}` "
                "fetches it, `wherry image ls` lists what is here"
            )
        return image

    def list(self) -> list[Image]:
        """Return all images, by name; those without a name come last."""
        images = [self._index.image(record) for record in self._index.records()]
        return sorted(images, key=lambda image: (not image.references, image.references, image.id))

    def register(self, manifest: bytes, *, media_type: str, reference: str | None = None) -> Image:
        """Unpack an image all of whose blobs are here, and give it a name.

        Unpacked once, however many processes ask at the same time. Raises
        :class:`ImageCorrupt` for content that is not what it should be,
        :class:`ImageNotFound` when a blob is missing.
        """
        from wherry.images.registration import Registration

        name = None if reference is None else str(canonical(reference))
        if media_type not in MANIFEST_TYPES:
            raise ImageError(f"media type {media_type!r} is not that of an image's manifest")
        with self.pulling():
            making = Registration(self._layout, self._index, self.blobs)
            plan = making.plan(manifest, media_type=media_type)
            with making.unpacked(plan, limits=self._limits) as record:
                named = Name(record.image_id, plan.manifest)
                if name is not None:
                    with self._index.changing() as names:
                        names[name] = named
                return self._index.image(record, name=named)

    def lease(self, image: Image) -> Lease:
        """Keep an image from being removed, for as long as containers run from it.

        Raises :class:`ImageNotFound` when it was removed since it was found.
        """
        return lease(self._layout, image.id)

    def tag(self, source: str, target: str) -> Image:
        """Give an image one more name; who had that name before loses it."""
        wanted = canonical(target)
        if wanted.digest:
            raise UsageError(f"image {target!r}: a new name cannot have a digest, only a tag")
        image = self.get(source)
        with self.lease(image):
            manifest = self._manifest_of(image)
            with self._index.changing() as names:
                names[str(wanted)] = Name(image.id, manifest)
        return self.get(target)

    def remove(self, reference: str, *, force: bool = False) -> Removed:
        """Take a name away, and with its last name the image.

        By id an image goes with its only name; ``force`` takes several. Raises
        :class:`ImageNotFound`, :class:`ImageInUse` while a container runs from it.
        """
        self._prepare()
        return self._garbage.remove(self.get(reference), reference, force=force)

    def prune(self, *, all: bool = False) -> Pruned:  # noqa: A002 - docker's word
        """Remove images without a name (``all``: every image) that nobody runs.

        Then blobs that belong to no image, and what interrupted pulls left.
        """
        self._prepare()
        return self._garbage.prune(self.list(), all=all)

    def usage(self) -> Usage:
        """Return what the store takes on the disk."""
        self._prepare()
        return self._garbage.usage()

    def recover(self) -> None:
        """Remove what processes that were killed have left half done.

        Nothing of that is ever used. Done before the first change anyway; cheap, idempotent.
        """
        if self._layout.root.exists():
            self._layout.make()
            self._layout.clean()

    def pulling(self) -> AbstractContextManager[object]:
        """Keep blobs that belong to no image yet from being pruned, for a block."""
        self._prepare()
        return locked(self._layout.lock_of(GARBAGE), shared=True)

    def manifest_of(self, image: Image) -> tuple[bytes, str]:
        """Return the manifest of an image, as it came, and its media type."""
        descriptor = self._manifest_of(image)
        return self.blobs.read(descriptor.digest), descriptor.media_type

    def _manifest_of(self, image: Image) -> Descriptor:
        for name in self._index.names().values():
            if name.image_id == image.id and name.manifest.digest == image.digest:
                return name.manifest
        record = self._index.record(image.id)
        if record is None:
            raise ImageNotFound(f"image {image.id} was removed meanwhile; pull it again")
        return record.manifest

    def _prepare(self) -> None:
        if not self._ready:
            self._layout.make()
            self._layout.clean()
            self._ready = True
