"""Which image a name means, and what is there when it has been pulled from a real registry."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import BuiltImage, build_image, build_index, digest_of
from tests.support.pulling import BIG, NOBODY, fetch

from wherry.errors import ImageNotFound, RegistryError
from wherry.images.platforms import host_platform, parse_platform
from wherry.images.pull import pull
from wherry.images.reference import Reference
from wherry.images.store import ImageStore

if TYPE_CHECKING:
    from tests.support.registry import RegistryServer
    from tests.support.registry_proxy import RegistryProxy

    from wherry.images.progress import LayerProgress


@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
async def test_an_image_that_skopeo_pushed_is_pulled_and_unpacked(
    registry: RegistryServer, store: ImageStore, tmp_path: Path, compression: str
) -> None:
    image = build_image({"hello": b"from the layer\n"}, compression=compression)
    name = registry.push(image, f"kinds/{compression or 'plain'}:1", scratch=tmp_path)
    pulled = await fetch(store, name)
    assert pulled.digest == image.digest
    assert pulled.id == image.config
    assert pulled.config.cmd == ("sh",)
    assert (pulled.rootfs / "hello").read_bytes() == b"from the layer\n"
    assert (pulled.rootfs / "bin/busybox").stat().st_mode & 0o111
    assert store.find(name) == pulled


async def test_a_pull_by_digest_needs_no_registry_the_second_time(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore
) -> None:
    image = build_image({"by": b"digest"})
    registry.put_image(image, "digest/box", "1")
    name = f"{proxy.host}/digest/box@{image.digest}"
    first = await fetch(store, name)
    asked = len(proxy.seen)
    assert await fetch(store, name) == first
    assert len(proxy.seen) == asked
    assert store.find(name) == first


async def test_a_tag_that_moved_is_pulled_again_and_shares_its_layers(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore
) -> None:
    old, new = build_image({"v": b"1"}), build_image({"v": b"2"})
    registry.put_image(old, "moving/box", "1")
    await fetch(store, f"{proxy.host}/moving/box:1")
    registry.put_image(new, "moving/box", "1")
    pulled = await fetch(store, f"{proxy.host}/moving/box:1")
    assert pulled.digest == new.digest
    assert (pulled.rootfs / "v").read_bytes() == b"2"
    assert len(proxy.blob(new.layers[0])) == 1, "the layer both have was fetched once"


def push_index(registry: RegistryServer, name: str) -> dict[str, BuiltImage]:
    images = {}
    entries = []
    for architecture, variant in {"amd64": "", "arm64": "v8", "arm": "v7"}.items():
        image = build_image(
            {"arch": architecture.encode()}, architecture=architecture, variant=variant
        )
        registry.put_image(image, name, architecture)
        images[architecture] = image
        platform = {"os": "linux", "architecture": architecture}
        entries.append(image.descriptor(platform | ({"variant": variant} if variant else {})))
    attestation = entries[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    registry.put_manifest(name, "many", build_index([attestation, *reversed(entries)]))
    return images


async def test_the_right_image_of_an_index_is_pulled(
    registry: RegistryServer, tmp_path: Path
) -> None:
    images = push_index(registry, "index/box")
    name = f"{registry.host}/index/box:many"
    for platform in ("linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7"):
        pulled = await fetch(ImageStore(tmp_path / platform), name, platform=platform)
        architecture = parse_platform(platform).architecture
        assert pulled.digest == images[architecture].digest
        assert (pulled.rootfs / "arch").read_text() == architecture
    here = host_platform().architecture
    if here in images:
        assert (await fetch(ImageStore(tmp_path / "here"), name)).digest == images[here].digest


async def test_a_platform_that_an_index_lacks_is_told_with_those_it_has(
    registry: RegistryServer, store: ImageStore
) -> None:
    push_index(registry, "index/lacking")
    with pytest.raises(ImageNotFound) as caught:
        await fetch(store, f"{registry.host}/index/lacking:many", platform="linux/s390x")
    assert "not there for linux/s390x" in str(caught.value)
    assert "linux/arm/v7, linux/arm64/v8, linux/amd64" in str(caught.value)


async def test_a_platform_that_a_plain_image_is_not_for_is_refused(
    registry: RegistryServer, store: ImageStore
) -> None:
    registry.put_image(build_image(architecture="arm64"), "plain/arm", "1")
    name = f"{registry.host}/plain/arm:1"
    with pytest.raises(ImageNotFound, match="it is for linux/arm64"):
        await fetch(store, name, platform="linux/amd64")
    assert (await fetch(store, name)).config.architecture == "arm64"


async def test_an_index_is_found_again_by_its_own_digest(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image({"pinned": b"index"})
    registry.put_image(image, "index/pinned", "1")
    index = build_index([image.descriptor({"os": "linux", "architecture": "amd64"})])
    registry.put_manifest("index/pinned", "index", index)
    name = f"{registry.host}/index/pinned@{digest_of(index)}"
    pulled = await fetch(store, name, platform="linux/amd64")
    assert pulled.digest == image.digest
    assert store.find(name) == pulled


async def test_a_name_that_is_not_there_says_so_and_what_to_do(
    registry: RegistryServer, store: ImageStore
) -> None:
    with pytest.raises(ImageNotFound) as caught:
        await fetch(store, f"{registry.host}/no/such:thing")
    assert str(caught.value) == (
        f"'{registry.host}/no/such:thing' is not on {registry.host}; "
        f"check the name or run `wherry login {registry.host}`"
    )


async def test_nobody_listening_is_told_at_once(store: ImageStore) -> None:
    begun = time.monotonic()
    with pytest.raises(RegistryError, match="cannot be reached"):
        await pull(store, Reference.parse("127.0.0.1:1/x"), credentials=NOBODY)
    assert time.monotonic() - begun < 2


async def test_progress_tells_every_step_of_every_layer_in_order(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image(BIG)
    registry.put_image(image, "progress/box", "1")
    events: list[LayerProgress] = []
    name = Reference.parse(f"{registry.host}/progress/box:1")
    await pull(store, name, progress=events.append, credentials=NOBODY)
    for digest in image.layers:
        mine = [event for event in events if event.digest == digest]
        states = list(dict.fromkeys(event.state for event in mine))
        assert states == ["waiting", "downloading", "extracting", "done"]
        counts = [event.done for event in mine]
        assert counts == sorted(counts)
        assert counts[-1] == mine[-1].total == len(image.blobs[digest])
