"""Images and layers between us and skopeo, docker and GNU tar."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.layers import apply, image_of, tree_of
from tests.support.require import require
from tests.support.store_process import LAYER, NUMBERED

from wherry.images.archive import load, save
from wherry.images.fromhost import from_host
from wherry.images.store import ImageStore

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def skopeo(*words: object) -> str:
    command = [require("skopeo"), "--insecure-policy", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_our_archives_as_docker_and_as_oci(store: ImageStore, tmp_path: Path) -> None:
    image = image_of(store, LAYER, *NUMBERED, reference="boat:1", Cmd=["/x"], Env=["A=1"])
    save(store, ["boat:1"], path=tmp_path / "ours.tar")
    for kind, name in (("oci-archive", "docker.io/library/boat:1"), ("docker-archive", "boat:1")):
        seen = json.loads(skopeo("inspect", "--config", f"{kind}:{tmp_path}/ours.tar:{name}"))
        assert seen["config"] == {"Cmd": ["/x"], "Env": ["A=1"]}
        assert len(seen["rootfs"]["diff_ids"]) == len(image.layers)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("docker-archive:{}/theirs:docker.io/library/boat:2", ()),
        ("oci-archive:{}/theirs:boat:2", ()),
        ("oci:{}/theirs:boat:2", ()),
        ("oci-archive:{}/theirs:boat:2", ("--dest-compress-format", "zstd", "--dest-compress")),
    ],
)
def test_what_skopeo_writes_is_read(
    target: str, options: Sequence[str], store: ImageStore, tmp_path: Path
) -> None:
    image = image_of(store, LAYER, *NUMBERED, reference="boat:1", Cmd=["/x"])
    save(store, ["boat:1"], path=tmp_path / "ours.tar")
    source = f"oci-archive:{tmp_path}/ours.tar"
    skopeo("copy", *options, source, target.format(tmp_path))
    [back] = load(ImageStore(tmp_path / "other"), tmp_path / "theirs")
    assert back.references == ("docker.io/library/boat:2",)
    assert back.config == image.config
    assert tree_of(back.rootfs) == tree_of(image.rootfs)


def docker(daemon: Dockerd, *words: object) -> str:
    command = [require("docker"), "-H", f"unix://{daemon.socket}", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_docker_loads_what_we_save_and_we_load_what_docker_saves(
    store: ImageStore, dockerd: Dockerd, tmp_path: Path
) -> None:
    docker(dockerd, "save", "-o", tmp_path / "theirs.tar", "busybox")
    [theirs] = load(store, tmp_path / "theirs.tar")
    assert theirs.references == ("docker.io/library/busybox:latest",)
    assert theirs.id == docker(dockerd, "inspect", "-f", "{{.Id}}", "busybox").strip()
    ours = from_host(store, "from-wherry:1", programs=["tr"])
    save(store, ["from-wherry:1"], path=tmp_path / "ours.tar")
    assert "from-wherry:1" in docker(dockerd, "load", "-i", tmp_path / "ours.tar")
    try:
        assert docker(dockerd, "inspect", "-f", "{{.Id}}", "from-wherry:1").strip() == ours.id
        docker(dockerd, "save", "-o", tmp_path / "back.tar", "from-wherry:1")
    finally:
        docker(dockerd, "rmi", "from-wherry:1")
    [back] = load(ImageStore(tmp_path / "other"), tmp_path / "back.tar")
    assert back.id == ours.id
    assert tree_of(back.rootfs) == tree_of(ours.rootfs)


@pytest.mark.parametrize("format", ["gnu", "pax", "ustar"])
def test_a_real_tree_is_unpacked_as_gnu_tar_does(format: str, tmp_path: Path) -> None:  # noqa: A002
    require("tar")
    source = tmp_path / "source"
    for number in range(120):
        path = source / f"d{number % 7}" / f"sub{number % 3}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 97))
        path.chmod((0o644, 0o755, 0o4755, 0o400)[number % 4])
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
        if number % 10 == 0:
            (path.parent / f"hard-{number}").hardlink_to(path)
            (path.parent / f"soft-{number}").symlink_to(path.name)
    (source / "d1").chmod(0o2775)
    archive = tmp_path / "a.tar"
    options = [f"--format={format}", "--numeric-owner", "-C", str(source)]
    subprocess.run(["tar", "-cf", archive, *options, "."], check=True)
    (tmp_path / "theirs").mkdir()
    subprocess.run(["tar", "-xpf", archive, "-C", tmp_path / "theirs"], check=True)
    apply(tmp_path / "ours", archive.read_bytes())
    assert tree_of(tmp_path / "ours") == tree_of(tmp_path / "theirs")


def test_unpacking_holds_its_own_against_gnu_tar(tmp_path: Path) -> None:
    """Not a benchmark: it notices a change that makes us several times slower."""
    require("tar")
    source = tmp_path / "source"
    for number in range(600):
        path = source / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(8000) + os.urandom(2000))
    archive = tmp_path / "a.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", source, "."], check=True)
    packed = archive.read_bytes()
    plain = subprocess.run(["gzip", "-dc", archive], capture_output=True, check=True).stdout
    ratios = []
    for turn in range(3):
        start = time.perf_counter()
        apply(tmp_path / f"ours{turn}", packed, plain=[plain])
        ours = time.perf_counter() - start
        (tmp_path / f"theirs{turn}").mkdir()
        start = time.perf_counter()
        subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / f"theirs{turn}"], check=True)
        ratios.append(ours / (time.perf_counter() - start))
    assert min(ratios) < 4
