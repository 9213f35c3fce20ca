"""Which images a store has, and their names: read often, written rarely and atomically."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from wherry.errors import ImageCorrupt, UsageError
from wherry.images.files import write_atomic, written_atomic
from wherry.images.layout import REFERENCES
from wherry.images.locks import locked
from wherry.images.model import Descriptor, Image, ImageConfig, Manifest
from wherry.images.reference import Reference

if TYPE_CHECKING:
    from wherry.images.layout import Layout

_SHORTEST_ID = 4


@dataclass(frozen=True, slots=True)
class Name:
    """What a reference stands for: an unpacked image, by the manifest it came with."""

    image_id: str
    manifest: Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An unpacked image; written once, after everything in it is on disk."""

    image_id: str
    manifest: Descriptor
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    size: int

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        return cls(
            image_id=table["id"],
            manifest=Descriptor.from_json(table["manifest"]),
            config=ImageConfig.from_json(table["config"]),
            layers=tuple(Descriptor.from_json(layer) for layer in table["layers"]),
            size=table["size"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return what goes into the record's file."""
        return {
            "id": self.image_id,
            "manifest": self.manifest.to_json(),
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
            "size": self.size,
        }


@dataclass(slots=True)
class _Snapshot:
    """The names at one moment, and the images that were found by them since."""

    stamp: tuple[int, ...]
    names: dict[str, Name]
    found: dict[str, Image] = field(default_factory=dict)


class Index:
    """The records and names of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._snapshot = _Snapshot((), {})

    def find(self, text: str) -> Image | None:
        """Find an image by reference, digest or (the start of) its id.

        Costs one stat(2) when it was found before and no name changed since.
        """
        snapshot = self._current()
        image = snapshot.found.get(text)
        if image is None:
            image = self._find(text, snapshot.names)
            if image is not None and image.references:
                snapshot.found[text] = image
        return image

    def names(self) -> dict[str, Name]:
        """Return all names, as they are now."""
        return dict(self._current().names)

    def names_of(self, image_id: str) -> tuple[str, ...]:
        """Return the names of one image, as they are now."""
        return _names_of(self._current().names, image_id)

    def records(self) -> Iterator[Record]:
        """Yield the records of all images, in no order."""
        try:
            paths = [path for path in self._layout.records.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return
        for path in paths:
            record = self._read(path.stem)
            if record:
                yield record

    def record(self, image_id: str) -> Record | None:
        """Return an image's record, or None."""
        return self._read(image_id.partition(":")[2])

    def image(self, record: Record, *, name: Name | None = None) -> Image:
        """Put an image together; ``name`` may know it by another manifest than the first."""
        return Image(
            id=record.image_id,
            digest=(name or record).manifest.digest,
            references=self.names_of(record.image_id),
            config=record.config,
            rootfs=self._layout.rootfs_of(record.image_id),
            size=record.size,
            layers=record.layers,
            created=record.config.created,
        )

    @contextmanager
    def changing(self) -> Iterator[dict[str, Name]]:
        """Change the names: they are locked for the block, and written at its end."""
        with locked(self._layout.lock_of(REFERENCES)):
            before = self.names()
            names = dict(before)
            yield names
            if names != before:
                self._write(names)

    @contextmanager
    def recorded(self, record: Record) -> Iterator[int]:
        """Write a record; yields its descriptor, locked as a lease is, but alone."""
        path = self._layout.record_of(record.image_id)
        data = json.dumps(record.to_json()).encode()
        with written_atomic(path, data) as fd:
            yield fd

    def _find(self, text: str, names: Mapping[str, Name]) -> Image | None:
        name = _by_reference(text, names)
        if name is None:
            return self._by_id(text)
        record = self.record(name.image_id)
        return self.image(record, name=name) if record else None

    def _by_id(self, text: str) -> Image | None:
        start = text.removeprefix("sha256:")
        if len(start) < _SHORTEST_ID or not set(start) <= set("0123456789abcdef"):
            return None
        found = [r for r in self.records() if r.image_id.partition(":")[2].startswith(start)]
        if len(found) > 1:
            ids = ", ".join(sorted(record.image_id[:24] for record in found))
            raise UsageError(f"image {text!r} could be any of {ids}; give more of its id")
        return self.image(found[0]) if found else None

    def _current(self) -> _Snapshot:
        stamp = self._stamp()
        if self._snapshot.stamp != stamp:
            # Read after the stamp: at worst it is newer than that, and read once more.
            self._snapshot = _Snapshot(stamp, self._read_names() if stamp else {})
        return self._snapshot

    def _stamp(self) -> tuple[int, ...]:
        try:
            there = self._layout.references.stat()
        except FileNotFoundError:
            return ()
        return there.st_ino, there.st_mtime_ns, there.st_size

    def _read_names(self) -> dict[str, Name]:
        path = self._layout.references
        try:
            table = json.loads(path.read_bytes())
            return {
                reference: Name(name["id"], Descriptor.from_json(name["manifest"]))
                for reference, name in table.items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageCorrupt(f"{path} is broken: {error!r}; remove it, and pull again") from error

    def _write(self, names: Mapping[str, Name]) -> None:
        table = {
            reference: {"id": name.image_id, "manifest": name.manifest.to_json()}
            for reference, name in sorted(names.items())
        }
        write_atomic(self._layout.references, json.dumps(table, indent=1).encode())

    def _read(self, hex_id: str) -> Record | None:
        path = self._layout.records / f"{hex_id}.json"
        try:
            return Record.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ImageCorrupt(f"{path} is broken: {error!r}; remove it, and pull again") from error


def canonical(text: str) -> Reference:
    """Read a reference; a digest decides, so that a tag beside it is dropped."""
    reference = Reference.parse(text)
    return reference.with_digest(reference.digest) if reference.digest else reference


def read_manifest(data: bytes) -> Manifest:
    """Read the JSON of a manifest; raises :class:`ImageCorrupt`."""
    return Manifest.from_json(read_json(data, "manifest"))


def read_json(data: bytes, what: str) -> Any:  # noqa: ANN401
    """Read JSON from a stranger; raises :class:`ImageCorrupt`."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageCorrupt(f"{what} is no JSON: {error}") from error


def _by_reference(text: str, names: Mapping[str, Name]) -> Name | None:
    try:
        wanted = canonical(text)
    except UsageError:
        return None
    name = names.get(str(wanted))
    if name or not wanted.digest:
        return name
    home = f"{wanted.registry}/{wanted.repository}"
    for reference, name in names.items():
        if name.manifest.digest == wanted.digest and reference.startswith((f"{home}:", f"{home}@")):
            return name
    return None


def _names_of(names: Mapping[str, Name], image_id: str) -> tuple[str, ...]:
    return tuple(sorted(text for text, name in names.items() if name.image_id == image_id))
