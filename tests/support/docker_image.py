"""Images in the form that ``docker load`` takes, made by hand."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from tests.support.busybox import rootfs_tar


def docker_archive(name: str, **config: Any) -> bytes:
    """Return an archive of the busybox image under a name; ``config`` as in an image's config."""
    layer = rootfs_tar()
    described = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], **config},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
        }
    ).encode()
    files = {f"{_digest(described)}.json": described, f"{_digest(layer)}/layer.tar": layer}
    config_name, layer_name = files
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
