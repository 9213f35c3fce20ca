"""Root unpacks an image for somebody else, and gives its files away."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest
from tests.support.layers import apply, directory, entry, image_of, symlink, tar

from wherry.images.store import ImageStore

pytestmark = pytest.mark.root
LAYER = tar(directory("bin"), entry("bin/x", b"x" * 100, mode=0o755))


def test_files_are_given_to_their_owner_and_keep_setuid(tmp_path: Path) -> None:
    root = tmp_path / "root"
    apply(
        root,
        tar(
            directory("d", 0o700),
            entry("d/f", b"x", mode=0o4755),
            symlink("l", "d"),
            entry("p", type=tarfile.FIFOTYPE),
            entry("made/f", b"x"),
        ),
        owner=(12345, 54321),
    )
    for path in (root, *root.rglob("*")):
        there = path.lstat()
        assert (there.st_uid, there.st_gid) == (12345, 54321), path
    assert stat.S_IMODE((root / "d/f").stat().st_mode) == 0o4755


def test_with_an_owner_only_its_group_can_pass_to_the_files(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store", owner=(12345, 54321))
    image = image_of(store, LAYER)
    for name in ("", "rootfs"):
        there = (store.root / name).stat()
        assert (there.st_mode & 0o777, there.st_uid, there.st_gid) == (0o710, 0, 54321)
    for name in ("images", "blobs", "partial", "locks"):
        assert (store.root / name).stat().st_mode & 0o777 == 0o700
    owned = image.rootfs.stat()
    assert (owned.st_uid, owned.st_gid) == (12345, 54321)
