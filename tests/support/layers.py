"""Layers and images for tests of the store, also such as no tool would write."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.images.model import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Image
from wherry.images.unpack import Layer, UnpackLimits, unpack

if TYPE_CHECKING:
    from wherry.images.store import ImageStore

MTIME = 1_000_000_000


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Describe a member; fields are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), MTIME
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def directory(name: str, mode: int = 0o755, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """Return a tar file with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def header(name: bytes, *, size: int = 0, kind: bytes = b"0", **raw: bytes) -> bytes:
    """Return a header block whose fields may hold anything; the checksum is right."""
    fields = {
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "gid": b"0000000\0",
        "size": b"%011o\0" % size,
        "mtime": b"%011o\0" % MTIME,
        "link": b"",
        "magic": b"ustar\x0000",
        **raw,
    }
    block = bytearray(512)
    places = {"mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "link": 157}
    block[: len(name)] = name
    for field, at in {**places, "magic": 257, "tail": 345}.items():
        value = fields.get(field, b"")
        block[at : at + len(value)] = value
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(**records: str | bytes) -> bytes:
    """Return an extension header with these records; ``__`` in a name is a dot."""
    return pax_of((name.replace("__", "."), value) for name, value in records.items())


def pax_of(records: Iterable[tuple[str, str | bytes]]) -> bytes:
    data = b"".join(_pax_record(name, value) for name, value in records)
    return header(b"pax", size=len(data), kind=b"x") + padded(data)


def _pax_record(name: str, value: str | bytes) -> bytes:
    rest = b" " + name.encode() + b"=" + (value.encode() if isinstance(value, str) else value)
    length = len(rest) + 1
    while len(str(length)) + len(rest) + 1 != length:
        length = len(str(length)) + len(rest) + 1
    return str(length).encode() + rest + b"\n"


def apply(
    root: Path,
    *layers: bytes,
    limits: UnpackLimits | None = None,
    owner: tuple[int, int] | None = None,
    plain: Sequence[bytes] | None = None,
) -> None:
    """Unpack layers into a new directory; ``plain`` is what they should decompress to."""
    root.mkdir(mode=0o700, exist_ok=True)
    described = []
    for number, data in enumerate(layers):
        path = root.parent / f"layer-{number}"
        path.write_bytes(data)
        unpacked = plain[number] if plain else data
        digest = "sha256:" + hashlib.sha256(unpacked).hexdigest()
        described.append(Layer(path=path, digest=f"layer-{number}", diff_id=digest))
    try:
        unpack(root, described, limits=limits, owner=owner)
    finally:
        for layer in described:
            layer.path.unlink()


def image_of(
    store: ImageStore, *layers: bytes, reference: str | None = "test", **config: Any
) -> Image:
    """Register an image with these plain layers, stored gzipped."""
    with store.pulling():
        manifest = manifest_of(store, *layers, **config)
        return store.register(manifest, media_type=OCI_MANIFEST, reference=reference)


def manifest_of(store: ImageStore, *layers: bytes, **config: Any) -> bytes:
    """Store the blobs of an image and return its manifest."""
    packed = [gzip.compress(layer, 1, mtime=0) for layer in layers]
    blobs = [store.blobs.put(layer, media_type=f"{OCI_LAYER}+gzip") for layer in packed]
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    whole = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    described = store.blobs.put(json.dumps(whole).encode(), media_type=OCI_CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described.to_json(),
        "layers": [blob.to_json() for blob in blobs],
    }
    return json.dumps(manifest).encode()


def tree_of(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what is below a root: kinds, modes, times, content, and which are hard links."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        there, name = path.lstat(), str(path.relative_to(root))
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        alias = first.setdefault(there.st_ino, name) if not path.is_dir() else name
        found[name] = (there.st_mode, int(there.st_mtime), content, alias)
    return found
