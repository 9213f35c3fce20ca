"""The store: named, found, leased, removed, pruned and counted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tests.support.layers import directory, entry, image_of, manifest_of, tar

from wherry.errors import (
    ImageCorrupt,
    ImageError,
    ImageInUse,
    ImageNotFound,
    UsageError,
)
from wherry.images.model import DOCKER_INDEX, OCI_CONFIG, OCI_MANIFEST
from wherry.images.store import ImageStore

LAYER = tar(directory("bin"), entry("bin/x", b"x" * 100, mode=0o755))
OTHER = tar(entry("other", b"y" * 50))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def files(store: ImageStore) -> list[str]:
    """Return the paths of everything in a store but its locks."""
    found = (path.relative_to(store.root) for path in store.root.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] != "locks")


def test_opening_a_store_touches_nothing(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    assert store.find("busybox") is None
    assert store.list() == []
    store.recover()
    assert not store.root.exists()


def test_an_image_is_unpacked_and_found(store: ImageStore) -> None:
    image = image_of(store, LAYER, OTHER, reference="busybox", Cmd=["/bin/x"], User="7")
    assert image.references == ("docker.io/library/busybox:latest",)
    assert image.config.cmd == ("/bin/x",)
    assert image.size == 150
    assert len(image.layers) == 2
    assert (image.rootfs / "bin/x").read_bytes() == b"x" * 100
    assert image.rootfs.stat().st_mode & 0o777 == 0o755
    assert store.find("busybox") == image
    assert ImageStore(store.root).find("busybox") == image


@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "busybox:latest",
        "docker.io/busybox",
        "index.docker.io/library/busybox:latest",
        "busybox@{digest}",
        "busybox:latest@{digest}",
        "{id}",
        "{short}",
        "sha256:{short}",
    ],
)
def test_an_image_is_found_by_all_its_names(text: str, store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="busybox")
    image_of(store, OTHER, reference="other")
    names = {"id": image.id, "short": image.id[7:19], "digest": image.digest}
    found = store.find(text.format(**names))
    assert found is not None
    assert found.id == image.id


@pytest.mark.parametrize(
    "text", ["other", "busybox:1", "localhost/busybox", "other@{digest}", "{id}0", "f", "UPPER", ""]
)
def test_nothing_else_finds_it(text: str, store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="busybox")
    assert store.find(text.format(id=image.id, digest=image.digest)) is None


def test_an_image_that_is_not_there_says_what_to_do(store: ImageStore) -> None:
    with pytest.raises(
        ImageNotFound, match="'nginx' is not on this machine; `wherry image pull nginx`"
    ):
        store.get("nginx")


def test_an_ambiguous_id_is_an_error(store: ImageStore) -> None:
    image = image_of(store, LAYER)
    record = store.root / "images" / f"{image.id[7:]}.json"
    twin = image.id[:20] + "0" * 51
    (store.root / "images" / f"{twin[7:]}.json").write_text(
        record.read_text().replace(f'{{"id": "{image.id}"', f'{{"id": "{twin}"')
    )
    with pytest.raises(UsageError, match="could be any of"):
        store.find(image.id[7:17])
    assert store.find(image.id) == image


def test_finding_is_fast_once_it_was_found(store: ImageStore) -> None:
    image_of(store, LAYER, reference="busybox")
    store.find("busybox")
    best = min(_timed(store) for _ in range(20))
    assert best < 200e-6


def _timed(store: ImageStore) -> float:
    start = time.perf_counter()
    for _ in range(50):
        store.find("busybox")
    return (time.perf_counter() - start) / 50


def test_what_another_process_changes_is_seen_at_once(store: ImageStore) -> None:
    first = image_of(store, LAYER, reference="x")
    assert store.find("x") == first
    other = ImageStore(store.root)
    second = image_of(other, OTHER, reference="x")
    assert store.find("x") == second
    other.tag("x", "y")
    assert store.get("x").references == ("docker.io/library/x:latest", "docker.io/library/y:latest")
    other.remove("x")
    assert store.find("x") is None


def test_the_same_image_is_unpacked_once(store: ImageStore) -> None:
    first = image_of(store, LAYER, reference="a")
    before = first.rootfs.stat()
    second = image_of(store, LAYER, reference="b")
    assert os.path.samestat(before, second.rootfs.stat())
    assert second.references == ("docker.io/library/a:latest", "docker.io/library/b:latest")


def test_images_are_listed_by_name_and_the_nameless_last(store: ImageStore) -> None:
    image_of(store, OTHER, reference=None)
    image_of(store, LAYER, reference="b")
    store.tag("b", "a")
    assert [image.references for image in store.list()] == [
        ("docker.io/library/a:latest", "docker.io/library/b:latest"),
        (),
    ]


def test_a_tag_moves_from_one_image_to_another(store: ImageStore) -> None:
    image_of(store, LAYER, reference="a")
    other = image_of(store, OTHER, reference="b")
    assert store.tag("b", "a").id == other.id
    assert store.get("a").id == other.id
    assert [image.references for image in store.list()][-1] == ()


def test_a_tag_with_a_digest_is_refused(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    with pytest.raises(UsageError, match="cannot have a digest"):
        store.tag("a", f"b@{image.digest}")


def test_removing_the_last_name_removes_everything(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    store.tag("a", "b")
    assert store.remove("a").images == ()
    assert image.rootfs.exists()
    gone = store.remove("b")
    assert gone.images == (image.id,)
    assert gone.bytes > image.size
    assert files(store) == ["references.json"]
    assert store.usage().total == 0


def test_an_image_with_several_names_goes_by_id_only_with_force(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    store.tag("a", "b")
    with pytest.raises(UsageError, match="has 2 names"):
        store.remove(image.id)
    assert store.remove(image.id, force=True).images == (image.id,)
    assert store.list() == []


def test_the_digest_that_a_pull_noted_goes_with_the_last_tag(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    data, media_type = store.manifest_of(image)
    store.register(data, media_type=media_type, reference=f"a@{image.digest}")
    assert len(store.get("a").references) == 2
    assert store.remove("a").images == (image.id,)


def test_removing_what_is_not_there_is_an_error(store: ImageStore) -> None:
    with pytest.raises(ImageNotFound):
        store.remove("nothing")


def test_a_layer_that_another_image_uses_stays(store: ImageStore) -> None:
    image_of(store, LAYER, reference="a")
    image_of(store, LAYER, OTHER, reference="b")
    shared = store.usage()
    assert shared.shared > 0
    store.remove("a")
    left = store.get("b")
    assert all(store.blobs.has(layer.digest) for layer in left.layers)
    assert store.usage().shared == 0


def test_a_lease_keeps_an_image(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    with store.lease(image), store.lease(image):
        with pytest.raises(ImageInUse, match="a container runs from it"):
            store.remove("a")
        with pytest.raises(ImageInUse):
            store.remove(image.id, force=True)
        assert store.prune(all=True).images == ()
        assert store.find("a") == image
        store.tag("a", "b")
        assert store.remove("a").images == ()
    assert store.remove("b").images == (image.id,)


def test_a_lease_on_what_was_removed_is_an_error(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    store.remove("a")
    with pytest.raises(ImageNotFound, match="removed meanwhile"):
        store.lease(image)


def test_a_closed_lease_can_be_closed_again(store: ImageStore) -> None:
    lease = store.lease(image_of(store, LAYER))
    lease.close()
    lease.close()


def test_a_prune_takes_what_has_no_name(store: ImageStore) -> None:
    image_of(store, LAYER, reference="a")
    nameless = image_of(store, OTHER, reference=None)
    pruned = store.prune()
    assert pruned.images == (nameless.id,)
    assert pruned.bytes > 50
    assert [image.references for image in store.list()] == [("docker.io/library/a:latest",)]
    assert store.prune(all=True).references == ("docker.io/library/a:latest",)
    assert files(store) == ["references.json"]


def test_a_prune_takes_blobs_and_partials_that_nobody_needs(store: ImageStore) -> None:
    image_of(store, LAYER, reference="a")
    manifest_of(store, OTHER)
    store.blobs.partial_path("sha256-" + "0" * 64).write_bytes(b"z" * 1000)
    assert store.usage().partial == 1000
    assert store.prune().bytes > 1000
    assert store.usage().partial == 0
    assert store.find("a") is not None


def test_a_prune_leaves_a_pull_alone(store: ImageStore) -> None:
    with ImageStore(store.root).pulling():
        manifest = manifest_of(store, OTHER)
        with store.blobs.create() as unfinished:
            unfinished.write(b"1")
            pruned = store.prune(all=True)
            assert pruned.kept_blobs
            assert unfinished.path.exists()
        store.register(manifest, media_type=OCI_MANIFEST, reference="b")
    assert store.find("b") is not None


def test_a_corrupt_layer_leaves_no_image(store: ImageStore) -> None:
    with pytest.raises(ImageCorrupt, match="leads out"):
        image_of(store, tar(entry("../x", b"1")), reference="a")
    assert store.list() == []
    assert list(store.root.glob("rootfs/*")) == []
    assert list((store.root / "locks").glob("?" * 64)) == []


def test_a_layer_that_is_missing_is_named(store: ImageStore) -> None:
    manifest = json.loads(manifest_of(store, LAYER))
    manifest["layers"][0]["digest"] = "sha256:" + "0" * 64
    with pytest.raises(ImageNotFound, match="layer sha256:0000"):
        store.register(json.dumps(manifest).encode(), media_type=OCI_MANIFEST)


def test_layers_and_configuration_must_fit_together(store: ImageStore) -> None:
    manifest = json.loads(manifest_of(store, LAYER))
    manifest["layers"] *= 2
    with pytest.raises(ImageCorrupt, match="2 layers, its configuration 1"):
        store.register(json.dumps(manifest).encode(), media_type=OCI_MANIFEST)


def test_only_manifests_of_linux_images_are_registered(store: ImageStore) -> None:
    manifest = manifest_of(store, LAYER)
    with pytest.raises(ImageError, match="media type"):
        store.register(manifest, media_type=DOCKER_INDEX)
    with pytest.raises(ImageCorrupt, match="no JSON"):
        store.register(b"{", media_type=OCI_MANIFEST)
    with pytest.raises(ImageCorrupt, match="no JSON"):
        store.register(b"[" * 100_000, media_type=OCI_MANIFEST)
    config = store.blobs.put(b'{"os": "windows"}', media_type=OCI_CONFIG)
    windows = {"config": config.to_json(), "layers": []}
    with pytest.raises(ImageError, match="'windows'"):
        store.register(json.dumps(windows).encode(), media_type=OCI_MANIFEST)


def test_a_broken_index_of_names_is_named_in_the_error(store: ImageStore) -> None:
    image_of(store, LAYER)
    (store.root / "references.json").write_text("{")
    with pytest.raises(ImageCorrupt, match=r"references\.json is broken"):
        ImageStore(store.root).find("test")


def test_a_rootfs_without_its_record_is_removed_at_the_next_start(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    (store.root / "images" / f"{image.id[7:]}.json").unlink()
    after = ImageStore(store.root)
    assert after.find("a") is None
    after.recover()
    assert not image.rootfs.exists()
    assert image_of(after, LAYER, reference="a").rootfs.is_dir()


def test_a_rootfs_that_somebody_deleted_is_unpacked_again(store: ImageStore) -> None:
    image = image_of(store, LAYER, reference="a")
    image.rootfs.rename(store.root / "elsewhere")
    assert image_of(store, LAYER, reference="a").rootfs.is_dir()


def test_only_we_can_enter_the_store(store: ImageStore) -> None:
    image_of(store, LAYER)
    for name in ("", "rootfs", "images", "blobs", "partial", "locks"):
        assert (store.root / name).stat().st_mode & 0o777 == 0o700, name


def test_the_store_of_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    from wherry.errors import EngineUnavailable

    with pytest.raises(EngineUnavailable, match="--data-dir"):
        ImageStore(tmp_path / "file" / "store").usage()


def test_only_root_can_give_files_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="only root"):
        ImageStore(tmp_path, owner=(12345, 12345))
