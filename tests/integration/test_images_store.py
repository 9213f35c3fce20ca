"""The image store among processes that die, and with the tools that others use."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import store_process
from tests.support.layers import directory, entry, image_of, tar
from tests.support.store_process import LAYER, NUMBERED

from wherry.errors import ImageInUse
from wherry.images.store import ImageStore

PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


class Others:
    """Processes that use the same store; all are ended with the test."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start one, and wait until it is about to act."""
        process = store_process.start(self._root, *words)
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def stop_at(self, *words: str) -> subprocess.Popen[str]:
        """Start one and wait until it has reached its stage."""
        process = self.start(*words)
        self.go(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line == "stopped\n":
                return process
        raise AssertionError(f"{words} ended without reaching its stage")

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def others(store: ImageStore) -> Iterator[Others]:
    found = Others(store.root)
    yield found
    found.close()


def is_clean(store: ImageStore) -> bool:
    """Whether a store without images has nothing left but its own furniture."""
    left = [path for path in store.root.rglob("*") if not path.is_dir()]
    names = {str(path.relative_to(store.root)) for path in left}
    rootfs = list((store.root / "rootfs").iterdir())
    return not rootfs and names <= {"references.json", "locks/references", "locks/garbage"}


@pytest.mark.parametrize("stage", ["unpacking", "unpacked", "renamed"])
def test_a_process_killed_while_it_unpacks_leaves_nothing_half_usable(
    stage: str, store: ImageStore, others: Others
) -> None:
    process = others.stop_at("register", stage)
    assert list((store.root / "rootfs").iterdir()) != []
    assert store.find("a") is None
    store.recover()
    assert list((store.root / "rootfs").iterdir()) != [], "its maker lives"
    process.kill()
    process.wait()
    after = ImageStore(store.root)
    assert after.list() == []
    after.recover()
    assert list((store.root / "rootfs").iterdir()) == []
    after.prune()
    assert is_clean(store)


def test_the_next_process_unpacks_what_a_killed_one_did_not_finish(
    store: ImageStore, others: Others
) -> None:
    process = others.stop_at("register", "unpacking")
    process.kill()
    process.wait()
    image = image_of(ImageStore(store.root), LAYER, reference="a")
    assert (image.rootfs / "last").read_bytes() == b"y"
    assert [path.name for path in (store.root / "rootfs").iterdir()] == [image.id[7:]]


def test_an_image_that_only_lacks_its_name_is_whole(store: ImageStore, others: Others) -> None:
    process = others.stop_at("register", "recorded")
    process.kill()
    process.wait()
    [image] = store.list()
    assert image.references == ()
    assert image_of(store, LAYER, reference="a").rootfs == image.rootfs


@pytest.mark.parametrize("stage", ["unnamed", "removing"])
def test_a_process_killed_while_it_removes_leaves_nothing_half_usable(
    stage: str, store: ImageStore, others: Others
) -> None:
    image_of(store, LAYER, reference="a")
    process = others.stop_at("remove", stage)
    assert store.find("a") is None
    assert store.list() == []
    process.kill()
    process.wait()
    after = ImageStore(store.root)
    after.recover()
    assert list((store.root / "rootfs").iterdir()) == []
    after.prune()
    assert is_clean(store)


def test_a_blob_of_a_killed_process_can_be_resumed(store: ImageStore, others: Others) -> None:
    process = others.stop_at("fetch")
    process.kill()
    process.wait()
    store.recover()
    [partial] = (store.root / "partial").iterdir()
    assert partial.read_bytes() == b"half"
    assert store.usage().partial == 4


def test_processes_that_want_the_same_image_unpack_it_once(
    store: ImageStore, others: Others
) -> None:
    processes = [others.start("register") for _ in range(6)]
    for process in processes:
        others.go(process)
    said = [process.communicate(timeout=60)[0] for process in processes]
    [image] = store.list()
    assert sum(text.count("unpacks") for text in said) == 1
    assert [text.split()[-1] for text in said] == [image.id] * 6


def test_a_lease_of_another_process_counts_until_it_dies(store: ImageStore, others: Others) -> None:
    image_of(store, LAYER, reference="a")
    process = others.stop_at("hold")
    with pytest.raises(ImageInUse):
        store.remove("a", force=True)
    process.kill()
    process.wait()
    assert store.remove("a").images


def test_a_store_survives_processes_that_are_killed_at_any_moment(
    store: ImageStore, others: Others
) -> None:
    for _ in range(12):
        group = [others.start("churn") for _ in range(2)]
        for process in group:
            others.go(process)
        for process in group:
            # Wait for none of its own doing: this is the random moment.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.15)
            process.kill()
            process.wait()
    for image in ImageStore(store.root).list():
        count = sum(1 for path in image.rootfs.rglob("*") if path.is_file())
        assert count % 50 == 0
        assert count
        assert count == 50 * len(image.layers)
        assert all(store.blobs.has(layer.digest) for layer in image.layers)
    store.recover()
    kept = {path.name for path in (store.root / "rootfs").iterdir()}
    assert kept == {image.id[7:] for image in store.list()}
    store.prune(all=True)
    assert is_clean(store)
    assert image_of(store, *NUMBERED, reference="after").size == 4 * 50 * 500


def test_an_ordinary_user_can_unpack_and_remove_an_image_of_root(
    store: ImageStore, tmp_path: Path
) -> None:
    layer = tar(
        directory("root", 0o700, uid=0),
        entry("root/secret", b"x", mode=0o000, uid=0),
        directory("locked", 0o000, uid=5),
        entry("locked/f", b"x", mode=0o4755, uid=5, gid=6),
    )
    image = image_of(store, layer, reference="a")
    there = (image.rootfs / "locked/f").stat()
    assert (there.st_uid, there.st_gid) == (os.getuid(), os.getgid())
    assert stat.S_IMODE(there.st_mode) == 0o4755
    assert (image.rootfs / "root/secret").read_bytes() == b"x"
    store.remove("a")
    assert is_clean(store)
