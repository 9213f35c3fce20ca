"""Images in the form that ``docker load`` takes, made by hand."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.support.busybox import rootfs_tar


def docker_archive(name: str, **config: Any) -> bytes:
    """Return an archive of the busybox image under a name; ``config`` as in an image's config."""
    return _archive(name, [rootfs_tar()], config)


def program_archive(name: str, *programs: str) -> bytes:
    """Return an archive of busybox with programs of this machine, and the libraries they need."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in {found: None for program in programs for found in _needs(program)}:
            place = f"bin/{Path(path).name}" if path in programs else path.lstrip("/")
            tar.add(Path(path).resolve(), arcname=place)
    return _archive(name, [rootfs_tar(), buffer.getvalue()], {})


def _needs(program: str) -> list[str]:
    """Return a program and the files that its dynamic linker loads, the linker included."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True)
    return [program, *re.findall(r"(/\S+) \(0x", told.stdout)]


def _archive(name: str, layers: list[bytes], config: dict[str, Any]) -> bytes:
    described = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], **config},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{_digest(each)}" for each in layers],
            },
        }
    ).encode()
    places = {f"{_digest(layer)}/layer.tar": layer for layer in layers}
    config_name = f"{_digest(described)}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [*places]}]
    files = {config_name: described, **places, "manifest.json": json.dumps(manifest).encode()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
