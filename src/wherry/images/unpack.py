"""Layers, applied one on another into a directory, as the invoking user."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import ImageCorrupt
from wherry.images.applier import Applier
from wherry.images.compression import decompress
from wherry.images.stream import ByteStream, prefetched
from wherry.images.tar import Entry, TarReader
from wherry.images.tree import show

Owner = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """What one image may unpack to, so that a small file cannot fill a disk."""

    entries: int = 2_000_000
    bytes: int = 64 << 30
    """Plain bytes of all layers together; the holes of sparse files count."""
    ratio: int = 250
    """Plain bytes for each byte of a compressed layer, once there are ``ratio_from``."""
    ratio_from: int = 1 << 30
    depth: int = 256
    """Names in one path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as it was fetched, and the digest of its plain bytes."""

    path: Path
    digest: str
    diff_id: str


def unpack(
    target: Path,
    layers: Sequence[Layer],
    *,
    owner: Owner | None = None,
    limits: UnpackLimits | None = None,
) -> None:
    """Apply layers, the lowest first, into an empty directory that only its owner can enter.

    ``owner`` is given to every file (needs root). Raises :class:`ImageCorrupt` for a layer that
    is broken, unsafe, beyond the limits, or not what its ``diff_id`` says, :class:`ImageError`
    when the machine is at fault; what was unpacked so far is for the caller to remove.
    """
    budget = _Budget(limits or UnpackLimits())
    with Applier(target, owner=owner) as applier:
        for layer in layers:
            try:
                _apply(layer, applier, budget)
            except ImageCorrupt as error:
                raise ImageCorrupt(f"layer {layer.digest}: {error}") from error
        applier.finish()


def _apply(layer: Layer, applier: Applier, budget: _Budget) -> None:
    algorithm, _, expected = layer.diff_id.partition(":")
    digest = hashlib.new(algorithm)

    def hashed(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk

    with layer.path.open("rb") as file:
        budget.begin_layer(os.fstat(file.fileno()).st_size)
        with prefetched(hashed(decompress(file))) as chunks:
            stream = ByteStream(budget.counted(chunks))
            applier.apply(budget.entries(TarReader(stream)), stream)
            for _ in stream.pieces(1 << 62):  # what follows the end mark is hashed too
                pass
    if digest.hexdigest() != expected:
        raise ImageCorrupt(
            f"its plain bytes should have {layer.diff_id} and have {algorithm}:{digest.hexdigest()}"
        )


class _Budget:
    """Counts what the limits bound."""

    def __init__(self, limits: UnpackLimits) -> None:
        self.limits = limits
        self._entries = self._bytes = self._layer = self._compressed = 0

    def begin_layer(self, compressed: int) -> None:
        self._layer, self._compressed = 0, compressed

    def counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass chunks on, as long as they are within the limits."""
        limits = self.limits
        for chunk in chunks:
            self._layer += len(chunk)
            self._take(len(chunk))
            allowed = max(limits.ratio_from, limits.ratio * self._compressed)
            if self._layer > allowed:
                raise ImageCorrupt(
                    f"{self._compressed} bytes unpack to more than {allowed}: "
                    f"beyond the limit of {limits.ratio} to one"
                )
            yield chunk

    def entries(self, reader: TarReader) -> Iterator[Entry]:
        """Pass entries on, as long as they are within the limits."""
        limits = self.limits
        for entry in reader:
            self._entries += 1
            if self._entries > limits.entries:
                raise ImageCorrupt(f"the image has more than the limit of {limits.entries} files")
            if entry.name.count(b"/") > limits.depth:
                raise ImageCorrupt(f"{show(entry.name)} is deeper than the limit of {limits.depth}")
            self._take(entry.size - entry.stored)
            yield entry

    def _take(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self.limits.bytes:
            raise ImageCorrupt(f"the image unpacks to more than {self.limits.bytes} bytes (limit)")
