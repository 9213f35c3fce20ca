"""Layers in every compression, and how much one may unpack to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.support.layers import apply, entry, header, padded, pax, tar

from wherry.errors import ImageCorrupt
from wherry.images import tree
from wherry.images.unpack import UnpackLimits

NOTHING = tar()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "gzip with zeros after": lambda data: gzip.compress(data) + bytes(1000),
    "zstd": zstandard.compress,
    "zstd in frames": lambda data: zstandard.compress(data[:700]) + zstandard.compress(data[700:]),
    "zstd after a skippable frame": lambda data: (
        b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zstandard.compress(data)
    ),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "nothing": bytes,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_layers_come_in_every_compression(packer: str, root: Path) -> None:
    plain = tar(entry("f", os.urandom(350 << 10).hex().encode()))
    apply(root, PACKERS[packer](plain), plain=[plain])
    assert (root / "f").stat().st_size == 700 << 10


@pytest.mark.parametrize("packer", ["gzip", "zstd", "bzip2", "xz"])
def test_a_compressed_layer_that_is_cut_short_is_refused(packer: str, root: Path) -> None:
    plain = tar(entry("f", os.urandom(200 << 10)))
    packed = PACKERS[packer](plain)
    with pytest.raises(ImageCorrupt, match="layer-0"):
        apply(root, packed[: len(packed) // 2], plain=[plain])


def test_a_layer_that_is_not_what_its_digest_says_is_refused(root: Path) -> None:
    with pytest.raises(ImageCorrupt, match=r"should have sha256:.* and have sha256:"):
        apply(root, tar(entry("f", b"1")), plain=[tar(entry("f", b"2"))])


def test_bytes_behind_the_end_mark_count_for_the_digest(root: Path) -> None:
    layer = tar(entry("f", b"1")) + b"trailing" * 100
    apply(root, layer)
    assert (root / "f").read_bytes() == b"1"


def limits(**values: int) -> UnpackLimits:
    return UnpackLimits(**values)


BOMBS: dict[str, tuple[bytes, UnpackLimits, str]] = {
    "too many bytes": (tar(entry("f", bytes(9000))), limits(bytes=8000), "more than 8000 bytes"),
    "too many files": (tar(*(entry(f"{n}") for n in range(9))), limits(entries=8), "8 files"),
    "too deep": (tar(entry("/".join("abcdefgh"))), limits(depth=6), "deeper than the limit of 6"),
    "too good a ratio": (
        gzip.compress(tar(entry("f", bytes(1 << 20)))),
        limits(ratio=100, ratio_from=1 << 16),
        "100 to one",
    ),
    "zeros behind the end mark": (
        gzip.compress(NOTHING + bytes(1 << 20)),
        limits(ratio=100, ratio_from=1 << 16),
        "100 to one",
    ),
    "a hole of an exabyte": (
        pax(GNU__sparse__size=str(1 << 60), GNU__sparse__map="0,1")
        + header(b"s", size=1)
        + padded(b"x"),
        limits(),
        "unpacks to more than",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_defused(bomb: str, root: Path) -> None:
    data, bounds, message = BOMBS[bomb]
    with pytest.raises(ImageCorrupt, match=message):
        apply(root, data, limits=bounds)
    assert tree.measure(root) < 1 << 20


def test_limits_are_those_of_the_whole_image(root: Path) -> None:
    layers = [tar(entry(f"f{n}", bytes(5000))) for n in range(4)]
    with pytest.raises(ImageCorrupt, match="layer-2: the image unpacks to more than 25000"):
        apply(root, *layers, limits=limits(bytes=25_000))
