"""Collecting from real directories that stand for an overlay's layers, against a model."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.require import missing

from wherry.engines.local.collecting import Written, collect_all
from wherry.errors import UsageError
from wherry.models import Collect

Tree = dict[str, "bytes | str | Tree"]
"""By name: bytes are a file, ``link`` a symlink, ``gone`` a whiteout, a dict a directory; one
with the name ``.opaque`` in it hides what lies below."""

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.one_of(st.binary(max_size=3), st.just("link"), st.just("pipe"))


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    return st.recursive(
        st.dictionaries(NAMES, leaves, max_size=3),
        lambda below: st.dictionaries(NAMES, st.one_of(leaves, below), max_size=3),
        max_leaves=8,
    )


LOWER = trees(LEAVES)
UPPER = trees(st.one_of(LEAVES, st.just("gone"), st.just({".opaque": b""})))


def write(tree: Tree, at: Path) -> None:
    at.mkdir(exist_ok=True)
    for name, what in tree.items():
        path = at / name
        match what:
            case dict():
                write(what, path)
            case bytes() if name == ".opaque":
                os.setxattr(at, "user.overlay.opaque", b"y")
            case bytes():
                path.write_bytes(what)
            case "link":
                path.symlink_to("/etc/passwd")
            case "pipe":
                os.mkfifo(path)
            case "gone":
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def merged(upper: Tree, lower: Tree) -> Tree:
    """Return what a program sees, as overlayfs documents it."""
    seen: Tree = {} if ".opaque" in upper else dict(lower)
    for name, what in upper.items():
        if name == ".opaque":
            continue
        below = seen.pop(name, None)
        if isinstance(what, dict):
            seen[name] = merged(what, below if isinstance(below, dict) else {})
        elif what != "gone":
            seen[name] = what
    return seen


def copied(tree: Tree) -> Tree:
    """Return what of it means anything outside: files and directories."""
    return {
        name: copied(what) if isinstance(what, dict) else what
        for name, what in tree.items()
        if isinstance(what, dict | bytes)
    }


def read(at: Path) -> Tree:
    assert not at.is_symlink()
    return {path.name: read(path) if path.is_dir() else path.read_bytes() for path in at.iterdir()}


@contextmanager
def layers(upper: Tree, lower: Tree) -> Iterator[tuple[Written, Path]]:
    top = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        write({"upper": upper, "tmp": {"t": b"tmp"}}, top / "scratch")
        write(lower, top / "rootfs")
        scratch = os.open(top / "scratch", os.O_RDONLY)
        try:
            yield Written(scratch=scratch, writable=(), rootfs=top / "rootfs"), top / "to"
        finally:
            os.close(scratch)
    finally:
        shutil.rmtree(top)


@pytest.fixture(scope="module", autouse=True)
def _overlay_parts() -> None:
    """Whoever we are, this file system must let us make what an overlay is made of."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        try:
            os.setxattr(name, "user.overlay.opaque", b"y")
            os.mknod(f"{name}/gone", stat.S_IFCHR, os.makedev(0, 0))
        except OSError as error:
            missing(f"a file system with whiteouts and user xattrs ({error})")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(upper=UPPER, lower=LOWER)
def test_what_a_program_saw_is_what_is_collected(upper: Tree, lower: Tree) -> None:
    with layers(upper, lower) as (written, to):
        collect_all([("/", Collect(path="/", to=str(to)))], written)
        assert read(to) == copied(merged(upper, lower))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(upper=UPPER, lower=LOWER, path=st.lists(NAMES, min_size=1, max_size=3))
def test_any_path_of_it_can_be_collected(upper: Tree, lower: Tree, path: list[str]) -> None:
    at: object = merged(upper, lower)
    for name in path:
        at = at.get(name) if isinstance(at, dict) else None
    name = f"/{'/'.join(path)}"
    with layers(upper, lower) as (written, to):
        collect_all([(name, Collect(path=name, to=str(to)))], written)
        if isinstance(at, dict):
            assert read(to) == copied(at)
        elif isinstance(at, bytes):
            assert read(to) == {path[-1]: at}
        else:
            assert read(to) == {}


def test_what_was_mounted_from_the_scratch_file_system_is_found_there() -> None:
    with layers({"tmp": {"hidden": b""}}, {"tmp": {"image": b""}}) as (written, to):
        mounted = Written(
            scratch=written.scratch, writable=(("tmp", "/tmp"),), rootfs=written.rootfs
        )
        collect_all([("/tmp", Collect(path="/tmp", to=str(to)))], mounted)
        assert read(to) == {"t": b"tmp"}
        collect_all([("/tmp/t", Collect(path="/tmp/t", to=str(to / "sub")))], mounted)
        assert read(to / "sub") == {"t": b"tmp"}


def test_directories_and_files_both_count() -> None:
    tree: Tree = {"d": {"x": b"1", "y": b"22"}, "z": b"333"}
    with layers(tree, {}) as (written, to):
        for most, refused in ((3, True), (4, False)):
            collect = Collect(path="/", to=str(to), max_files=most)
            if refused:
                with pytest.raises(UsageError, match=r"more than 3 files \(max_files\)"):
                    collect_all([("/", collect)], written)
            else:
                collect_all([("/", collect)], written)
        with pytest.raises(UsageError, match=r"more than 5 bytes \(max_bytes\)"):
            collect_all([("/", Collect(path="/", to=str(to), max_bytes=5))], written)
        collect_all([("/", Collect(path="/", to=str(to), max_bytes=6))], written)


def test_only_the_owners_right_to_execute_is_kept() -> None:
    with layers({"run": b"", "set": b"", "open": b""}, {}) as (written, to):
        for name, mode in (("run", 0o700), ("set", 0o6711), ("open", 0o666)):
            fd = os.open(f"upper/{name}", os.O_RDONLY, dir_fd=written.scratch)
            os.fchmod(fd, mode)
            os.close(fd)
        collect_all([("/", Collect(path="/", to=str(to)))], written)
        modes = {path.name: path.stat().st_mode & 0o7777 for path in to.iterdir()}
    assert modes == {"run": 0o755, "set": 0o755, "open": 0o644}
