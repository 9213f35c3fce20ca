"""Archives: what docker, podman and OCI tools write, and what nobody should."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from tests.support.layers import directory, entry, hardlink, image_of, symlink, tar

from wherry.errors import ImageCorrupt, ImageError, ImageNotFound, UsageError
from wherry.images.archive import load, save, write
from wherry.images.model import OCI_INDEX, ImageConfig
from wherry.images.platforms import host_platform
from wherry.images.rootfs_import import import_rootfs
from wherry.images.store import ImageStore

LAYER = tar(directory("bin"), entry("bin/x", b"x" * 100, mode=0o755))
OTHER = tar(entry("other", b"y" * 50))
HERE = host_platform()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.tar"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(*layers: bytes, **more: Any) -> bytes:
    diff_ids = [digest(layer) for layer in layers]
    whole = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **more}
    return json.dumps(whole).encode()


def docker_save(*layers: bytes, tags: list[str] | None) -> dict[str, bytes]:
    """Return the files of an archive as docker wrote it before it knew OCI layouts."""
    whole = config(*layers)
    name = digest(whole)[7:] + ".json"
    names = [f"{number:064}/layer.tar" for number in range(len(layers))]
    table = [{"Config": name, "RepoTags": tags, "Layers": names}]
    return {
        name: whole,
        **dict(zip(names, layers, strict=True)),
        "manifest.json": json.dumps(table).encode(),
    }


def archive(files: dict[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return tar(*(entry(name, data) for name, data in files.items()), *more)


def layout(*images: tuple[bytes, dict[str, Any]]) -> dict[str, bytes]:
    """Return the files of an OCI layout: layers, and the fields of their entries."""
    files: dict[str, bytes] = {}

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        files["blobs/" + digest(data).replace(":", "/")] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    entries = []
    for layer, fields in images:
        manifest = {
            "schemaVersion": 2,
            "config": put(config(layer), "application/vnd.oci.image.config.v1+json"),
            "layers": [
                put(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
            ],
        }
        described = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        entries.append({**described, **fields})
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return files


def named(name: str, key: str = "org.opencontainers.image.ref.name") -> dict[str, Any]:
    return {"annotations": {key: name}}


def on(architecture: str, **more: Any) -> dict[str, Any]:
    return {"platform": {"os": "linux", "architecture": architecture}, **more}


def test_a_docker_save_is_loaded_under_its_tags(store: ImageStore, file: Path) -> None:
    file.write_bytes(archive(docker_save(LAYER, OTHER, tags=["busybox:1", "localhost:5000/b:2"])))
    [image] = load(store, file)
    assert image.references == ("docker.io/library/busybox:1", "localhost:5000/b:2")
    assert image.id == digest(config(LAYER, OTHER))
    assert (image.rootfs / "bin/x").stat().st_size == 100
    assert (image.rootfs / "other").stat().st_size == 50


@pytest.mark.parametrize("link", [symlink, hardlink])
def test_layers_that_old_docker_linked_are_followed(
    link: Any, store: ImageStore, file: Path
) -> None:
    files = docker_save(LAYER, LAYER, tags=["x"])
    second = f"{1:064}/layer.tar"
    del files[second]
    target = f"{0:064}/layer.tar"
    file.write_bytes(archive(files, link(second, f"../{target}" if link is symlink else target)))
    assert load(store, file)[0].size == 100


def test_layers_in_a_docker_save_may_be_compressed(store: ImageStore, file: Path) -> None:
    files = docker_save(LAYER, OTHER, tags=["x"])
    files[f"{0:064}/layer.tar"] = gzip.compress(LAYER)
    files[f"{1:064}/layer.tar"] = zstandard.compress(OTHER)
    file.write_bytes(archive(files))
    [image] = load(store, file)
    assert [layer.media_type.rpartition("+")[2] for layer in image.layers] == ["gzip", "zstd"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_an_archive_may_be_compressed_as_a_whole(pack: Any, store: ImageStore, file: Path) -> None:
    file.write_bytes(pack(archive(docker_save(LAYER, tags=["x"]))))
    assert load(store, file)[0].references == ("docker.io/library/x:latest",)
    assert store.usage().partial == 0


def test_an_image_without_tags_is_loaded_without_a_name(store: ImageStore, file: Path) -> None:
    file.write_bytes(archive(docker_save(LAYER, tags=None)))
    assert load(store, file)[0].references == ()
    assert load(store, file, reference="mine")[0].references == ("docker.io/library/mine:latest",)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (named("docker.io/library/x:1"), ("docker.io/library/x:1",)),
        (named("busybox"), ("docker.io/library/busybox:latest",)),
        (named("latest"), ()),
        (named("1.2-alpine"), ()),
        (named("v3"), ()),
        (named("Not A Name"), ()),
        (named("docker.io/me/x:2", "io.containerd.image.name"), ("docker.io/me/x:2",)),
        ({}, ()),
    ],
)
def test_the_names_of_an_oci_layout(
    fields: dict[str, Any], names: tuple[str, ...], store: ImageStore, file: Path
) -> None:
    file.write_bytes(archive(layout((LAYER, fields))))
    assert load(store, file)[0].references == names


def test_an_oci_layout_may_be_a_directory(store: ImageStore, tmp_path: Path) -> None:
    for name, data in layout((LAYER, named("x:1")), (OTHER, named("y:1"))).items():
        (tmp_path / "layout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "layout" / name).write_bytes(data)
    assert len(load(store, tmp_path / "layout")) == 2
    assert store.get("y:1").size == 50


def test_of_several_platforms_ours_is_taken(store: ImageStore, file: Path) -> None:
    file.write_bytes(
        archive(
            layout((OTHER, on("mips", **named("x"))), (LAYER, on(HERE.architecture, **named("x"))))
        )
    )
    [image] = load(store, file)
    assert image.size == 100
    [other] = load(store, file, platform="linux/mips")
    assert other.size == 50
    with pytest.raises(ImageNotFound, match="no image for linux/riscv64"):
        load(store, file, platform="linux/riscv64")


def test_an_index_in_an_index_is_followed(store: ImageStore, file: Path) -> None:
    files = layout((OTHER, on("mips")), (LAYER, on(HERE.architecture)))
    nested = files["index.json"]
    files["blobs/" + digest(nested).replace(":", "/")] = nested
    outer = {"mediaType": OCI_INDEX, "digest": digest(nested), "size": len(nested), **named("x:1")}
    files["index.json"] = json.dumps({"manifests": [outer]}).encode()
    file.write_bytes(archive(files))
    assert [image.references for image in load(store, file)] == [("docker.io/library/x:1",)]


def change(files: dict[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    assert name in files
    return {**files, name: data}


def blob_of(files: dict[str, bytes], kind: str) -> str:
    entries = json.loads(files["index.json"])["manifests"][0]
    manifest = "blobs/" + entries["digest"].replace(":", "/")
    if kind == "manifest":
        return str(manifest)
    inner = json.loads(files[manifest])
    found = inner["config"] if kind == "config" else inner["layers"][0]
    return "blobs/" + str(found["digest"]).replace(":", "/")


@pytest.mark.parametrize("kind", ["manifest", "config", "layer"])
def test_a_blob_that_is_not_what_its_digest_says_is_refused(
    kind: str, store: ImageStore, file: Path
) -> None:
    files = layout((LAYER, named("x")))
    name = blob_of(files, kind)
    file.write_bytes(archive(change(files, name, files[name].replace(b"a", b"b")[:-1] + b"\0")))
    with pytest.raises(ImageCorrupt, match=name.rpartition("/")[2]):
        load(store, file)
    assert store.list() == []


@pytest.mark.parametrize("kind", ["manifest", "config", "layer"])
def test_a_blob_that_is_missing_is_named(kind: str, store: ImageStore, file: Path) -> None:
    files = layout((LAYER, named("x")))
    del files[blob_of(files, kind)]
    file.write_bytes(archive(files))
    with pytest.raises(ImageCorrupt, match="it has no file 'blobs/sha256/"):
        load(store, file)


BAD_DOCKER: dict[str, tuple[bytes, str]] = {
    "no list": (b"{}", "list of objects"),
    "no json": (b"[", "no JSON"),
    "a config elsewhere": (b'[{"Config": "../../etc/passwd"}]', "no file '../../etc/passwd'"),
    "no config": (b'[{"Layers": []}]', "Config in manifest.json must be a string"),
}


@pytest.mark.parametrize("what", BAD_DOCKER)
def test_a_docker_archive_with_a_broken_table_is_refused(
    what: str, store: ImageStore, file: Path
) -> None:
    table, message = BAD_DOCKER[what]
    file.write_bytes(archive({"manifest.json": table}))
    with pytest.raises(ImageCorrupt, match=message):
        load(store, file)


def test_a_docker_layer_that_is_not_its_diff_id_is_refused(store: ImageStore, file: Path) -> None:
    files = docker_save(LAYER, tags=["x"])
    file.write_bytes(archive(change(files, f"{0:064}/layer.tar", OTHER)))
    with pytest.raises(ImageCorrupt, match="is not what it should be"):
        load(store, file)


def test_a_link_that_leads_in_a_circle_is_no_file(store: ImageStore, file: Path) -> None:
    files = docker_save(LAYER, tags=["x"])
    name = f"{0:064}/layer.tar"
    del files[name]
    file.write_bytes(archive(files, symlink(name, "layer.tar")))
    with pytest.raises(ImageCorrupt, match="it has no file"):
        load(store, file)


def test_a_root_file_system_is_told_from_an_archive(store: ImageStore, file: Path) -> None:
    file.write_bytes(LAYER)
    with pytest.raises(ImageError, match="wherry image import"):
        load(store, file)


@pytest.mark.parametrize("data", [b"", b"text", b"\0" * 100, b"x" * 4096])
def test_what_is_no_archive_is_refused(data: bytes, store: ImageStore, file: Path) -> None:
    file.write_bytes(data)
    with pytest.raises(ImageError, match="no image archive"):
        load(store, file)


def test_a_file_that_is_not_there_is_named(store: ImageStore, file: Path) -> None:
    with pytest.raises(ImageNotFound, match="No such file"):
        load(store, file)


def test_an_archive_that_is_cut_short_is_refused(store: ImageStore, file: Path) -> None:
    whole = archive(layout((LAYER, named("x"))))
    for length in range(512, len(whole.rstrip(b"\0")) - 512, 512):
        file.write_bytes(whole[:length])
        with pytest.raises(ImageError):
            load(store, file)
    assert store.list() == []


def test_what_was_saved_is_loaded_as_it_was(store: ImageStore, tmp_path: Path, file: Path) -> None:
    image = image_of(store, LAYER, OTHER, reference="a:1", Cmd=["x"])
    store.tag("a:1", "localhost:5000/b:2")
    image_of(store, LAYER, reference="c")
    save(store, ["a:1", "localhost:5000/b:2", "c"], path=file)
    other = ImageStore(tmp_path / "other")
    first, second = load(other, file)
    assert (first.id, first.digest) == (image.id, image.digest)
    assert first.references == ("docker.io/library/a:1", "localhost:5000/b:2")
    assert first.config == image.config
    assert second.references == ("docker.io/library/c:latest",)


def test_saving_twice_gives_the_same_bytes(store: ImageStore) -> None:
    image_of(store, LAYER, reference="a")
    files = [io.BytesIO(), io.BytesIO()]
    for target in files:
        write(store, ["a"], file=target)
    assert files[0].getvalue() == files[1].getvalue()


def test_an_image_saved_by_its_id_has_no_name(
    store: ImageStore, tmp_path: Path, file: Path
) -> None:
    image = image_of(store, LAYER, reference="a")
    save(store, [image.id], path=file)
    assert load(ImageStore(tmp_path / "other"), file)[0].references == ()


def test_a_save_that_fails_leaves_the_old_file(store: ImageStore, file: Path) -> None:
    file.write_bytes(b"old")
    with pytest.raises(ImageNotFound):
        save(store, ["nothing"], path=file)
    with pytest.raises(UsageError, match="no image to save"):
        save(store, [], path=file)
    assert file.read_bytes() == b"old"
    assert [path.name for path in file.parent.iterdir()] == ["archive.tar"]


def test_a_root_file_system_is_imported_with_its_configuration(store: ImageStore) -> None:
    wanted = ImageConfig(cmd=("/bin/x",), env={"A": "1"}, user="7", workdir="/bin")
    image = import_rootfs(store, io.BytesIO(LAYER), reference="mine", config=wanted)
    assert image.references == ("docker.io/library/mine:latest",)
    assert (image.config.cmd, image.config.user, image.config.workdir) == (("/bin/x",), "7", "/bin")
    assert image.config.env["A"] == "1"
    assert image.config.env["PATH"].startswith("/usr/local/sbin")
    assert image.config.architecture == HERE.architecture
    assert image.created
    assert image.layers[0].digest == digest(LAYER)


@pytest.mark.parametrize("suffix", ["gz", "zst", "xz", "bz2"])
def test_a_root_file_system_may_be_compressed(suffix: str, store: ImageStore, file: Path) -> None:
    import bz2
    import lzma

    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "zst": zstandard.compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
    }
    file.write_bytes(packers[suffix](LAYER))
    image = import_rootfs(store, file, reference="mine")
    assert (image.rootfs / "bin/x").exists()
    kinds = {"gz": "tar+gzip", "zst": "tar+zstd", "xz": "tar", "bz2": "tar"}
    assert image.layers[0].media_type.rpartition(".")[2] == kinds[suffix]


def test_what_is_no_root_file_system_is_refused(store: ImageStore, file: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        import_rootfs(store, file, reference="mine")
    with pytest.raises(ImageCorrupt, match="tar: "):
        import_rootfs(store, io.BytesIO(b"not a tar" * 100), reference="mine")
    assert store.list() == []
