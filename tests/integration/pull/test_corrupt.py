"""A registry whose storage was changed behind its back: nothing of it becomes usable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import build_image, noise
from tests.support.pulling import fetch, nothing_usable

from wherry.errors import ImageCorrupt, RegistryError

if TYPE_CHECKING:
    from tests.support.registry import RegistryServer

    from wherry.images.store import ImageStore


async def test_a_flipped_byte_in_the_registry_s_storage_is_refused(
    registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    image = build_image({"flip": noise(100_000)})
    registry.put_image(image, "corrupt/flip", "1")
    path = registry.blob_file(image.layers[1])
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageCorrupt, match=image.layers[1]):
        await fetch(store, f"{registry.host}/corrupt/flip:1")
    assert nothing_usable(store, tmp_path / "store")
    assert not store.blobs.has(image.layers[1])
    data[5000] ^= 1
    path.write_bytes(data)
    assert (await fetch(store, f"{registry.host}/corrupt/flip:1")).digest == image.digest


@pytest.mark.parametrize("change", [-1, 1])
async def test_a_blob_of_another_size_is_refused(
    registry: RegistryServer, store: ImageStore, tmp_path: Path, change: int
) -> None:
    image = build_image({"size": noise(10_000, seed=change + 5)})
    registry.put_image(image, "corrupt/size", "1")
    path = registry.blob_file(image.layers[1])
    data = path.read_bytes()
    path.write_bytes(data[:-1] if change < 0 else data + b"x")
    with pytest.raises(ImageCorrupt, match=f"{image.layers[1]} should have {len(data)} bytes"):
        await fetch(store, f"{registry.host}/corrupt/size:1")
    assert nothing_usable(store, tmp_path / "store")


async def test_a_manifest_that_was_changed_in_storage_is_refused(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image({"manifest": b"x"})
    registry.put_image(image, "corrupt/manifest", "1")
    path = registry.blob_file(image.digest)
    path.write_bytes(image.manifest + b" ")
    with pytest.raises((ImageCorrupt, RegistryError)):
        await fetch(store, f"{registry.host}/corrupt/manifest@{image.digest}")
