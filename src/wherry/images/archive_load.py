"""Reads the images of an archive into a store, blob by blob, each verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from wherry.errors import ImageCorrupt, ImageNotFound
from wherry.images.archive_members import Members, read_small
from wherry.images.archive_names import names_of, valid
from wherry.images.build import layer_type, manifest_bytes
from wherry.images.compression import sniff
from wherry.images.index import read_json, read_manifest
from wherry.images.manifests import manifest_type, read_index
from wherry.images.model import (
    INDEX_TYPES,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Image,
    Platform,
    diff_ids,
)
from wherry.images.platforms import choose, host_platform, parse_platform, platform_name

if TYPE_CHECKING:
    from wherry.images.store import ImageStore

_CHUNK = 1 << 20
_NESTED = 4


@dataclass(frozen=True, slots=True)
class Pending:
    """An image whose blobs are in the store and which is still to be registered."""

    image_id: str
    manifest: bytes
    media_type: str
    names: tuple[str, ...] = ()

    def register(self, store: ImageStore) -> Image:
        """Unpack it and give it its names."""
        image = store.register(self.manifest, media_type=self.media_type)
        for name in self.names:
            image = store.register(self.manifest, media_type=self.media_type, reference=name)
        return image


def load_layout(store: ImageStore, members: Members, *, platform: str | None) -> list[Pending]:
    """Read the images of an OCI layout: of several for one name that for the platform."""
    wanted = parse_platform(platform) if platform else host_platform()
    tags = _docker_tags(members)
    groups: dict[tuple[str, ...], list[Descriptor]] = {}
    for entry in read_index(read_small(members, "index.json"), what="index.json"):
        groups.setdefault(names_of(entry), []).append(entry)
    merged: dict[str, Pending] = {}
    for names, entries in groups.items():
        for entry in _alternatives(entries, wanted):
            found = _read_image(store, members, entry, wanted=wanted)
            known = merged.get(entry.digest, found)
            more = dict.fromkeys((*known.names, *names, *tags.get(found.image_id, ())))
            merged[entry.digest] = replace(found, names=tuple(more))
    return list(merged.values())


def load_docker(store: ImageStore, members: Members) -> list[Pending]:
    """Read the images of a ``docker save`` that has no OCI layout in it."""
    return [_read_docker(store, members, entry) for entry in _docker_table(members)]


def _alternatives(entries: Sequence[Descriptor], wanted: Platform) -> Sequence[Descriptor]:
    """Of one image for several platforms return the one that runs here, else all there are."""
    if len(entries) > 1 and all(entry.platform for entry in entries):
        return [_choose(entries, wanted)]
    return entries


def _choose(entries: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    chosen = choose(entries, wanted)
    if chosen is None:
        raise ImageNotFound(f"the archive has no image for {platform_name(wanted)}")
    return chosen


def _read_image(
    store: ImageStore, members: Members, entry: Descriptor, *, wanted: Platform
) -> Pending:
    """Fetch the blobs of an image, which may be one of an index."""
    data, media_type = _read_json_blob(members, entry)
    for _ in range(_NESTED):
        if media_type not in INDEX_TYPES:
            break
        offers = read_index(data, what=f"index {entry.digest}")
        data, media_type = _read_json_blob(members, _choose(offers, wanted))
    manifest = read_manifest(data)
    for blob in (manifest.config, *manifest.layers):
        _fetch(store, members, blob)
    return Pending(manifest.config.digest, data, media_type)


def _read_json_blob(members: Members, entry: Descriptor) -> tuple[bytes, str]:
    data = read_small(members, _blob_name(entry.digest))
    algorithm = entry.digest.partition(":")[0]
    got = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if got != entry.digest:
        raise ImageCorrupt(f"archive: {entry.digest} has in fact the digest {got}")
    return data, manifest_type(data, content_type=entry.media_type, what=f"blob {entry.digest}")


def _fetch(store: ImageStore, members: Members, blob: Descriptor) -> None:
    """Copy a blob into the store, unless it is there already."""
    if not store.blobs.has(blob.digest):
        file, _ = members.open(_blob_name(blob.digest))
        with file:
            _copy(store, file, blob)


def _copy(store: ImageStore, file: IO[bytes], blob: Descriptor) -> None:
    with store.blobs.begin(blob) as writer:
        if writer.done:
            return
        writer.restart()
        for chunk in _chunks(file):
            writer.write(chunk)
        writer.commit()


def _read_docker(store: ImageStore, members: Members, entry: Mapping[str, Any]) -> Pending:
    config = read_small(members, _text(entry, "Config"))
    wanted = diff_ids(read_json(config, "image configuration"))
    paths = entry.get("Layers") or []
    if not isinstance(paths, list) or len(paths) != len(wanted):
        raise ImageCorrupt(f"archive: {len(wanted)} layers expected, Layers is {paths!r:.200}")
    layers = [
        _fetch_docker(store, members, str(path), diff_id)
        for path, diff_id in zip(paths, wanted, strict=True)
    ]
    described = store.blobs.put(config, media_type=OCI_CONFIG)
    names = valid(entry.get("RepoTags"))
    return Pending(described.digest, manifest_bytes(described, layers), OCI_MANIFEST, names)


def _fetch_docker(store: ImageStore, members: Members, name: str, diff_id: str) -> Descriptor:
    """Copy a layer whose plain digest is known, but not that of its compressed form."""
    file, size = members.open(name)
    with file:
        if sniff(file) == "tar":
            blob = Descriptor(media_type=OCI_LAYER, digest=diff_id, size=size)
            _copy(store, file, blob)
            return blob
        with store.blobs.create() as new:
            for chunk in _chunks(file):
                new.write(chunk)
            return new.commit(media_type=layer_type(new.path))


def _docker_tags(members: Members) -> dict[str, tuple[str, ...]]:
    """Return the names by config digest, of a `docker save` that is an OCI layout too."""
    if not members.has("manifest.json"):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for entry in _docker_table(members):
        parts = _text(entry, "Config").removesuffix(".json").split("/")
        found[f"sha256:{parts[-1]}"] = valid(entry.get("RepoTags"))
    return found


def _docker_table(members: Members) -> Iterable[Mapping[str, Any]]:
    table = read_json(read_small(members, "manifest.json"), "manifest.json")
    if isinstance(table, list) and all(isinstance(entry, dict) for entry in table):
        return table
    raise ImageCorrupt("archive: manifest.json must be a list of objects")


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if isinstance(value, str):
        return value
    raise ImageCorrupt(f"archive: {name} in manifest.json must be a string, not {value!r:.80}")


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
