"""What an image is made of, as the OCI image specification writes it down.

https://github.com/opencontainers/image-spec (descriptor.md, manifest.md, config.md); Docker's
schema 2 has the same fields under other media types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from wherry.errors import ImageCorrupt

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_T = TypeVar("_T")


def _empty() -> Mapping[str, str]:
    return MappingProxyType({})


def check_digest(text: object) -> str:
    """Return a digest that is safe to use as a file name, or raise :class:`ImageCorrupt`."""
    if isinstance(text, str) and _DIGEST.fullmatch(text):
        return text
    raise ImageCorrupt(f"digest {text!r} is not sha256 or sha512 with lower-case hex digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where an image runs, in Go's names (``linux``, ``amd64``, ``arm64``, ``v8``)."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the ``platform`` of a descriptor; raises :class:`ImageCorrupt`."""
        table = _table(value, "platform")
        return cls(
            os=_get(table, "os", str, ""),
            architecture=_get(table, "architecture", str, ""),
            variant=_get(table, "variant", str, "") or None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        variant = {"variant": self.variant} if self.variant else {}
        return {"architecture": self.architecture, "os": self.os, **variant}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A piece of content: what it is, its digest, and its size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=_empty)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a descriptor; raises :class:`ImageCorrupt` naming the field that is wrong."""
        table = _table(value, "descriptor")
        size = _get(table, "size", int, -1)
        if size < 0:
            raise ImageCorrupt(f"descriptor size {table.get('size')!r} is not a count of bytes")
        platform = table.get("platform")
        return cls(
            media_type=_get(table, "mediaType", str, ""),
            digest=check_digest(table.get("digest")),
            size=size,
            platform=Platform.from_json(platform) if platform else None,
            annotations=_strings(table, "annotations"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        table: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.platform:
            table["platform"] = self.platform.to_json()
        if self.annotations:
            table["annotations"] = dict(self.annotations)
        return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image manifest: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a manifest; raises :class:`ImageCorrupt` for anything else, such as an index."""
        table = _table(value, "manifest")
        if "config" not in table:
            raise ImageCorrupt("this is no image manifest: it has no config (an index, perhaps?)")
        layers = _get(table, "layers", list, [])
        return cls(
            config=Descriptor.from_json(table["config"]),
            layers=tuple(Descriptor.from_json(layer) for layer in layers),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """How a container of this image runs, unless its call says otherwise."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=_empty)
    workdir: str = ""
    """Absolute path; empty means ``/``."""
    user: str = ""
    """``uid``, ``name``, ``uid:gid`` or ``name:group``; empty means root."""
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    labels: Mapping[str, str] = field(default_factory=_empty)
    architecture: str = ""
    os: str = "linux"
    variant: str | None = None
    created: str | None = None
    """RFC 3339, as the image has it."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read an image configuration; raises :class:`ImageCorrupt` naming the wrong field."""
        whole = _table(value, "image config")
        table = _table(whole.get("config") or {}, "config")
        return cls(
            entrypoint=_words(table, "Entrypoint"),
            cmd=_words(table, "Cmd"),
            env=_env(_words(table, "Env")),
            workdir=_get(table, "WorkingDir", str, ""),
            user=_get(table, "User", str, ""),
            volumes=tuple(sorted(_table(table.get("Volumes") or {}, "Volumes"))),
            stop_signal=_get(table, "StopSignal", str, "") or None,
            labels=_strings(table, "Labels"),
            architecture=_get(whole, "architecture", str, ""),
            os=_get(whole, "os", str, "") or "linux",
            variant=_get(whole, "variant", str, "") or None,
            created=_get(whole, "created", str, "") or None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads; ``rootfs`` is for the caller to add."""
        config: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "WorkingDir": self.workdir,
            "User": self.user,
            "Volumes": {path: {} for path in self.volumes},
            "StopSignal": self.stop_signal,
            "Labels": dict(self.labels),
        }
        whole: dict[str, Any] = {
            "created": self.created,
            "architecture": self.architecture,
            "os": self.os,
            "variant": self.variant,
            "config": {name: value for name, value in config.items() if value},
        }
        return {name: value for name, value in whole.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of the store: verified, unpacked and ready to run."""

    id: str
    """Digest of its configuration, ``sha256:…``."""
    digest: str
    """Digest of its manifest."""
    references: tuple[str, ...]
    """The canonical names it has here; may be empty."""
    config: ImageConfig
    rootfs: Path
    """Its file system, shared by every container: never write there."""
    size: int
    """Bytes of its unpacked files."""
    layers: tuple[Descriptor, ...]
    """The lowest first, as in the manifest it first came with."""
    created: str | None = None
    """RFC 3339, as the image has it."""


def diff_ids(config: object) -> tuple[str, ...]:
    """Read the digests of the uncompressed layers from an image configuration."""
    rootfs = _table(_table(config, "image config").get("rootfs"), "rootfs")
    return tuple(check_digest(text) for text in _get(rootfs, "diff_ids", list, []))


def _table(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    raise ImageCorrupt(f"{what} must be a JSON object, not {type(value).__name__}")


def _get(table: Mapping[str, Any], name: str, kind: type[_T], default: _T) -> _T:
    value = table.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ImageCorrupt(f"{name} must be {kind.__name__}, not {value!r:.80}")
    return value


def _words(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    words = _get(table, name, list, [])
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ImageCorrupt(f"{name} must be a list of strings, not {words!r:.80}")
    return tuple(words)


def _strings(table: Mapping[str, Any], name: str) -> Mapping[str, str]:
    values = _table(table.get(name) or {}, name)
    if not all(isinstance(value, str) for value in values.values()):
        raise ImageCorrupt(f"{name} must hold strings only, not {values!r:.80}")
    return MappingProxyType(dict(values))


def _env(words: tuple[str, ...]) -> Mapping[str, str]:
    pairs = (word.partition("=") for word in words)
    return MappingProxyType({name: value for name, _, value in pairs if name})
