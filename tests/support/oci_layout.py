"""OCI image layouts, written by hand: what a registry is filled from."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from tests.support.busybox import rootfs_tar

OCI = "application/vnd.oci.image"
_SUFFIX = {"gzip": "+gzip", "zstd": "+zstd", "": ""}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def noise(size: int, *, seed: int = 1) -> bytes:
    """Return bytes that do not compress, the same ones every time."""
    return random.Random(seed).randbytes(size)


def layer_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class BuiltImage:
    """An image as bytes: its manifest, and every blob that the manifest names."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def layers(self) -> list[str]:
        return [layer["digest"] for layer in json.loads(self.manifest)["layers"]]

    @property
    def config(self) -> str:
        return str(json.loads(self.manifest)["config"]["digest"])

    def descriptor(self, platform: dict[str, str] | None = None) -> dict[str, Any]:
        found = {
            "mediaType": f"{OCI}.manifest.v1+json",
            "digest": self.digest,
            "size": len(self.manifest),
        }
        return found | ({"platform": platform} if platform else {})


def build_image(
    *extra: dict[str, bytes],
    architecture: str = "amd64",
    variant: str = "",
    os: str = "linux",
    compression: str = "gzip",
    busybox: bool = True,
) -> BuiltImage:
    """Make an image of busybox, with one more layer for each set of files."""
    tars = ([rootfs_tar()] if busybox else []) + [layer_tar(files) for files in extra]
    layers = [_compressed(tar, compression) for tar in tars]
    config = {
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "os": os,
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
    }
    config_bytes = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": _descriptor(f"{OCI}.config.v1+json", config_bytes),
        "layers": [
            _descriptor(f"{OCI}.layer.v1.tar{_SUFFIX[compression]}", layer) for layer in layers
        ],
    }
    blobs = {digest_of(blob): blob for blob in [config_bytes, *layers]}
    return BuiltImage(json.dumps(manifest).encode(), blobs)


def build_index(entries: Sequence[dict[str, Any]]) -> bytes:
    """Make an index of descriptors."""
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(entries)}
    return json.dumps(index).encode()


def write_layout(directory: Path, image: BuiltImage) -> Path:
    """Write an OCI layout with one image in it."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for data in [image.manifest, *image.blobs.values()]:
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_bytes(build_index([image.descriptor()]))
    return directory


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _compressed(tar: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(tar, compresslevel=1, mtime=0)
    return zstandard.compress(tar) if compression == "zstd" else tar
