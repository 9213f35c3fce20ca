"""What a registry's manifest is, and whether it is one of a container image that we can have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from wherry.errors import ImageCorrupt, ImageError
from wherry.images.model import (
    DOCKER_CONFIG,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
ACCEPT = ", ".join([*sorted(MANIFEST_TYPES), *sorted(INDEX_TYPES), SCHEMA_1])
"""What to ask a registry for; schema 1 only so that it is told by name."""

_SCHEMA_1_TYPES = frozenset({SCHEMA_1, "application/vnd.docker.distribution.manifest.v1+json"})
_CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_LAYER = re.compile(
    rf"{re.escape(OCI_LAYER)}(\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.diff\.tar(\.gzip|\.zstd)?"
)
_FOREIGN = re.compile(r".*(nondistributable|rootfs\.foreign).*")
_CONFIG_BYTES = 8 * 1024 * 1024


def manifest_type(data: bytes, *, content_type: str, what: str) -> str:
    """Return the media type of a manifest: what it says, else what its sender says, else its form.

    Raises ImageError for schema 1 and for what is no image, ImageCorrupt for JSON that is
    broken, or that could be read as two kinds of manifest (CVE-2021-41190).
    """
    table = _table(data, what)
    sent = content_type.partition(";")[0].strip().lower()
    said = str(table.get("mediaType") or "")
    if table.get("schemaVersion") == 1 or {said, sent} & _SCHEMA_1_TYPES:
        raise ImageError(
            f"{what} has a manifest of Docker's schema 1, which no longer can be pulled; "
            "push it again with a current tool, such as `skopeo copy`"
        )
    if "manifests" in table and ("layers" in table or "config" in table):
        raise ImageCorrupt(f"{what} has a manifest that could be an index as well as an image")
    known = INDEX_TYPES | MANIFEST_TYPES
    if {said, sent} <= known and said != sent:
        raise ImageCorrupt(f"{what} has a manifest that says {said!r} but was sent as {sent!r}")
    by_form = OCI_INDEX if "manifests" in table else OCI_MANIFEST if "config" in table else ""
    found = next((kind for kind in (said, sent, by_form) if kind in known), "")
    if not found:
        raise ImageError(f"{what} is not a container image but {said or sent or 'unnamed'!r:.80}")
    if ("manifests" in table) != (found in INDEX_TYPES):
        raise ImageCorrupt(f"{what} has a manifest that says {found!r} but is not of that form")
    return found


def read_index(data: bytes, *, what: str) -> tuple[Descriptor, ...]:
    """Return the manifests of an index that could be images (attestations are not)."""
    offers = _table(data, what).get("manifests")
    if not isinstance(offers, list):
        raise ImageCorrupt(f"{what} has an index whose manifests are no list")
    found = tuple(Descriptor.from_json(offer) for offer in offers)
    return tuple(
        offer
        for offer in found
        if offer.media_type in MANIFEST_TYPES | INDEX_TYPES
        and not (offer.platform and offer.platform.os == "unknown")
    )


def read_manifest(data: bytes, *, what: str) -> Manifest:
    """Return the manifest of an image all of whose parts we can have; raises ImageError."""
    table = _table(data, what)
    manifest = Manifest.from_json(table)
    if manifest.config.media_type not in _CONFIG_TYPES:
        raise ImageError(
            f"{what} is not a container image: its config is {manifest.config.media_type!r}"
        )
    if manifest.config.size > _CONFIG_BYTES:
        raise ImageError(f"{what} has a config of more than {_CONFIG_BYTES} bytes")
    for layer, entry in zip(manifest.layers, table.get("layers") or [], strict=True):
        _check_layer(layer, entry, what=what)
    return manifest


def _check_layer(layer: Descriptor, entry: Mapping[str, Any], *, what: str) -> None:
    if entry.get("urls") or _FOREIGN.fullmatch(layer.media_type):
        raise ImageError(
            f"{what} has a foreign layer ({layer.digest}), which its registry does not hold; "
            "such images, mostly of Windows, cannot be pulled"
        )
    if not _LAYER.fullmatch(layer.media_type):
        raise ImageError(
            f"{what} has a layer of type {layer.media_type!r}; tar, gzip and zstd are known"
        )


def _table(data: bytes, what: str) -> dict[str, Any]:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageCorrupt(f"{what} has a manifest that is no JSON: {error}") from error
    if not isinstance(table, dict):
        raise ImageCorrupt(f"{what} has a manifest that is no JSON object")
    return table
