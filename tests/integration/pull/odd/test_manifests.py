"""Manifests that are not what they say, or no image at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.oci_layout import OCI, build_index, digest_of
from tests.support.odd_pulling import IMAGE, fetch

from wherry.errors import (
    ImageCorrupt,
    ImageError,
    WherryError,
)

if TYPE_CHECKING:
    from tests.support.fake_registry import FakeRegistry

    from wherry.images.store import ImageStore
    from wherry.images.transport import Wire

MANIFEST = f"{OCI}.manifest.v1+json"


def changed(**fields: Any) -> bytes:
    """Return the manifest of the image with other fields."""
    return json.dumps(json.loads(IMAGE.manifest) | fields).encode()


def with_layer(**fields: Any) -> bytes:
    layer = json.loads(IMAGE.manifest)["layers"][0] | fields
    return changed(layers=[layer])


async def test_a_stated_digest_that_is_not_the_manifest_s_is_an_error(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    registry.stated_digest = "sha256:" + "0" * 64
    with pytest.raises(ImageCorrupt, match=f"should be {registry.stated_digest} but is"):
        await fetch(store, registry, wire)


async def test_a_manifest_that_is_not_its_digest_is_refused(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    wanted = digest_of(b"something else")
    registry.manifests[wanted] = (IMAGE.manifest, MANIFEST)
    with pytest.raises(ImageCorrupt, match=wanted):
        await fetch(store, registry, wire, tag=wanted)


@pytest.mark.parametrize("wrong", ["size", "digest"])
async def test_a_child_manifest_is_compared_with_what_its_index_says(
    registry: FakeRegistry, store: ImageStore, wire: Wire, wrong: str
) -> None:
    entry = IMAGE.descriptor()
    if wrong == "size":
        entry |= {"size": len(IMAGE.manifest) + 1}
    else:
        entry |= {"digest": digest_of(b"x")}
        registry.manifests[digest_of(b"x")] = (IMAGE.manifest, MANIFEST)
    registry.add_manifest(build_index([entry]), f"{OCI}.index.v1+json", "index")
    with pytest.raises(ImageCorrupt, match="should"):
        await fetch(store, registry, wire, tag="index")


async def test_a_manifest_is_read_no_further_than_four_mebibytes(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    registry.add_manifest(changed(annotations={"x": "y" * (4 << 20)}), MANIFEST, "huge")
    with pytest.raises(ImageCorrupt, match="more than 4194304 bytes"):
        await fetch(store, registry, wire, tag="huge")


@pytest.mark.parametrize(
    ("manifest", "media_type", "error", "words"),
    [
        (
            json.dumps({"schemaVersion": 1, "name": "any", "fsLayers": []}).encode(),
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            ImageError,
            "schema 1",
        ),
        (changed(manifests=[]), MANIFEST, ImageCorrupt, "could be an index as well"),
        (IMAGE.manifest, f"{OCI}.index.v1+json", ImageCorrupt, "was sent as"),
        (b"<html>", MANIFEST, ImageCorrupt, "no JSON"),
        (b"[]", MANIFEST, ImageCorrupt, "no JSON object"),
        (b"{}", "text/html; charset=utf-8", ImageError, "not a container image but 'text/html'"),
        (
            changed(config={"mediaType": "application/vnd.cncf.helm.config.v1+json"}
                    | {"digest": IMAGE.config, "size": 3}),
            MANIFEST,
            ImageError,
            "vnd.cncf.helm",
        ),
        (with_layer(mediaType=f"{OCI}.layer.nondistributable.v1.tar"), MANIFEST, ImageError,
         "foreign layer"),
        (with_layer(urls=["https://elsewhere.example/x"]), MANIFEST, ImageError, "foreign layer"),
        (with_layer(mediaType="application/x-xz"), MANIFEST, ImageError, "'application/x-xz'"),
        (with_layer(digest="sha256:../../etc/passwd"), MANIFEST, ImageCorrupt, "digest"),
        (with_layer(digest="md5:" + "0" * 32), MANIFEST, ImageCorrupt, "digest"),
        (with_layer(size=-1), MANIFEST, ImageCorrupt, "size"),
    ],
    ids=["schema-1", "ambiguous", "two-types", "html", "list", "page", "helm", "foreign", "urls",
         "xz", "path", "md5", "negative"],
)  # fmt: skip
async def test_what_is_no_image_we_can_have_is_refused_by_name(
    registry: FakeRegistry,
    store: ImageStore,
    wire: Wire,
    manifest: bytes,
    media_type: str,
    error: type[WherryError],
    words: str,
) -> None:
    registry.add_manifest(manifest, media_type, "odd")
    with pytest.raises(error) as caught:
        await fetch(store, registry, wire, tag="odd")
    assert words in str(caught.value)
    assert store.list() == []


async def test_a_manifest_of_docker_s_schema_2_is_an_image(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    docker = "application/vnd.docker"
    table = json.loads(IMAGE.manifest) | {"mediaType": f"{docker}.distribution.manifest.v2+json"}
    table["config"]["mediaType"] = f"{docker}.container.image.v1+json"
    table["layers"][0]["mediaType"] = f"{docker}.image.rootfs.diff.tar.gzip"
    registry.add_manifest(json.dumps(table).encode(), table["mediaType"], "docker")
    assert (await fetch(store, registry, wire, tag="docker")).id == IMAGE.config
