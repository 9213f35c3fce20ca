"""How an image whose blobs are here becomes one that can run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import ImageCorrupt, ImageError, ImageNotFound
from wherry.images.files import sync_directory, sync_file_system
from wherry.images.index import Record, read_json, read_manifest
from wherry.images.lease import lease
from wherry.images.model import Descriptor, ImageConfig, Manifest, diff_ids
from wherry.images.tree import measure
from wherry.images.unpack import Layer, UnpackLimits, unpack

if TYPE_CHECKING:
    from wherry.images.blobs import BlobStore
    from wherry.images.index import Index
    from wherry.images.layout import Layout

_CONFIG_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """An image all of whose parts are here and fit together."""

    manifest: Descriptor
    parts: Manifest
    config: ImageConfig
    layers: Sequence[Layer]


class Registration:
    """Checks, unpacks and records an image in a store."""

    def __init__(self, layout: Layout, index: Index, blobs: BlobStore) -> None:
        self._layout = layout
        self._index = index
        self._blobs = blobs

    def plan(self, manifest: bytes, *, media_type: str) -> Plan:
        """Check that the parts of an image are here and fit together, and keep its manifest."""
        parts = read_manifest(manifest)
        if parts.config.size > _CONFIG_BYTES:
            raise ImageCorrupt(f"a configuration of {parts.config.size} bytes is too large")
        table = read_json(self._blobs.read(parts.config.digest), "image configuration")
        config = ImageConfig.from_json(table)
        if config.os != "linux":
            raise ImageError(f"the image is for {config.os!r}; only linux images can be run")
        wanted = diff_ids(table)
        if len(wanted) != len(parts.layers):
            raise ImageCorrupt(
                f"the manifest has {len(parts.layers)} layers, its configuration {len(wanted)}"
            )
        for layer in parts.layers:
            if not self._blobs.has(layer.digest):
                raise ImageNotFound(f"layer {layer.digest} is not in the store; pull it again")
        layers = [
            Layer(path=self._blobs.path(layer.digest), digest=layer.digest, diff_id=diff_id)
            for layer, diff_id in zip(parts.layers, wanted, strict=True)
        ]
        return Plan(self._blobs.put(manifest, media_type=media_type), parts, config, layers)

    @contextmanager
    def unpacked(self, plan: Plan, *, limits: UnpackLimits | None) -> Iterator[Record]:
        """Unpack an image unless it is; it cannot be removed while the block runs."""
        image_id = plan.parts.config.digest
        with self._layout.alone_with(image_id):
            record = self._index.record(image_id)
            if record is not None and self._layout.rootfs_of(image_id).is_dir():
                with lease(self._layout, image_id):
                    yield record
                return
            record = Record(
                image_id=image_id,
                manifest=plan.manifest,
                config=plan.config,
                layers=plan.parts.layers,
                size=self._unpack(image_id, plan.layers, limits),
            )
            with self._index.recorded(record):
                yield record

    def _unpack(self, image_id: str, layers: Sequence[Layer], limits: UnpackLimits | None) -> int:
        """Make a root file system that is whole, also after a power cut; return its bytes."""
        final = self._layout.rootfs_of(image_id)
        with self._layout.temporary() as temporary:
            unpack(temporary, layers, owner=self._layout.owner, limits=limits)
            size = measure(temporary)
            try:
                sync_file_system(temporary)
                if final.exists():
                    self._layout.discard(final)
                temporary.rename(final)
                sync_directory(self._layout.rootfs)
            except OSError as error:
                raise ImageError(f"cannot keep {final}: {error.strerror}") from error
        return size
