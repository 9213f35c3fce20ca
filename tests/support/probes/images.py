"""Images of one test's own making, straight into a store: layers may hold whatever a tar can."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.busybox import rootfs_tar
from tests.support.oci_layout import OCI, digest_of

if TYPE_CHECKING:
    from wherry.images.store import ImageStore


@dataclass(frozen=True, kw_only=True)
class Node:
    """One entry of a layer: a link, a fifo, a file or a directory."""

    name: str
    link: str | None = None
    data: bytes | None = None
    fifo: bool = False
    mode: int = 0o755

    def entry(self) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(self.name)
        entry.mode = self.mode
        if self.link is not None:
            entry.type, entry.linkname = tarfile.SYMTYPE, self.link
        elif self.fifo:
            entry.type = tarfile.FIFOTYPE
        elif self.data is None:
            entry.type = tarfile.DIRTYPE
        else:
            entry.size = len(self.data)
        return entry


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Busybox and the probes, with more on top."""

    nodes: Sequence[Node] = ()
    config: dict[str, Any] = field(default_factory=dict)


def layer(nodes: Sequence[Node]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for node in nodes:
            tar.addfile(node.entry(), io.BytesIO(node.data or b""))
    return buffer.getvalue()


def build(store: ImageStore, name: str, *, probes: bytes, recipe: Recipe) -> None:
    """Put an image into the store."""
    program = layer([Node(name="probes", data=probes)])
    layers = [rootfs_tar(), program, *([layer(recipe.nodes)] if recipe.nodes else [])]
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["sh"], **recipe.config},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": _put(store, f"{OCI}.config.v1+json", json.dumps(config).encode()),
        "layers": [_put(store, f"{OCI}.layer.v1.tar", data) for data in layers],
    }
    media_type = f"{OCI}.manifest.v1+json"
    store.register(json.dumps(manifest).encode(), media_type=media_type, reference=name)


def _put(store: ImageStore, media_type: str, data: bytes) -> dict[str, Any]:
    descriptor = store.blobs.put(data, media_type=media_type)
    return descriptor.to_json()
