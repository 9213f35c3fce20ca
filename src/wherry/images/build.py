"""Images made here: a configuration and layers, put together and registered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.images.compression import decompress, sniff
from wherry.images.model import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Image, ImageConfig

if TYPE_CHECKING:
    from wherry.images.store import ImageStore

_SUFFIX = {"gzip": "+gzip", "zstd": "+zstd"}


def assemble(
    store: ImageStore, layers: Sequence[Descriptor], *, config: bytes, reference: str | None
) -> Image:
    """Write the manifest of layers that are in the store, and register the image."""
    described = store.blobs.put(config, media_type=OCI_CONFIG)
    manifest = manifest_bytes(described, layers)
    return store.register(manifest, media_type=OCI_MANIFEST, reference=reference)


def manifest_bytes(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """Encode the manifest of an image."""
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
    )


def config_bytes(config: ImageConfig, diff_ids: Sequence[str], *, comment: str) -> bytes:
    """Encode a configuration for these layers, the lowest first."""
    history = {"created": config.created, "created_by": comment}
    return encode(
        {
            **config.to_json(),
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
            "history": [
                {name: value for name, value in history.items() if value} for _ in diff_ids
            ],
        }
    )


def encode(table: dict[str, Any]) -> bytes:
    """Encode JSON: the same value gives the same bytes, and so the same digest."""
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def layer_type(path: Path) -> str:
    """Return the media type of a layer, which is tar, gzip or zstd."""
    with path.open("rb") as file:
        return OCI_LAYER + _SUFFIX.get(sniff(file), "")


def diff_id(path: Path) -> str:
    """Return the digest of a layer's plain bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in decompress(file):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
