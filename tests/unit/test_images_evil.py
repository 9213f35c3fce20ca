"""Layers that try to reach out of their root: nothing outside may change, whatever they say."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard
from tests.support.layers import (
    apply,
    directory,
    entry,
    hardlink,
    header,
    padded,
    pax,
    symlink,
    tar,
)

from wherry.errors import ImageCorrupt
from wherry.images.unpack import UnpackLimits

LIMITS = UnpackLimits(bytes=1 << 23, entries=200, ratio=200, ratio_from=1 << 18)
Make = Callable[[Path], list[bytes]]


@dataclass(frozen=True)
class Case:
    """What the layers are, given the directory outside, and how it must end."""

    layers: Make
    refused: str | None = None
    """What the error says; None when the image is unpacked."""
    inside: dict[str, bytes] = field(default_factory=dict)
    """Files that must be there afterwards."""
    plain: Make | None = None


def layers(*entries: tuple[tarfile.TarInfo, bytes]) -> Make:
    return lambda _: [tar(*entries)]


def at(path: Path, name: str) -> str:
    return f"{path}/{name}"


def below(outside: Path, name: str) -> str:
    """Return where an absolute path outside would be inside of the root."""
    return at(outside, name).lstrip("/")


BIG = UnpackLimits().depth + 10
CASES: dict[str, Case] = {
    "parent in a name": Case(layers(entry("../out", b"x")), "leads out"),
    "parent deep in a name": Case(layers(entry("a/../../out", b"x")), "leads out"),
    "parent behind a slash": Case(layers(entry("/../out", b"x")), "leads out"),
    "nothing but parents": Case(layers(directory("../..")), "leads out"),
    "parent in a long name": Case(
        lambda _: [tar(entry("d/" * 60 + "../" * 61 + "out", b"x"))], "leads out"
    ),
    "parent in a pax path": Case(
        lambda _: [pax(path="../out") + header(b"safe", size=1) + padded(b"x")], "leads out"
    ),
    "absolute name": Case(
        lambda out: [tar(entry(at(out, "canary"), b"x"))],
    ),
    "absolute directory": Case(lambda out: [tar(directory(str(out), 0o777))]),
    "through an absolute link": Case(
        lambda out: [tar(symlink("x", str(out)), entry("x/canary", b"new"))]
    ),
    "through a relative link": Case(
        layers(symlink("x", "../outside"), entry("x/canary", b"new")),
        inside={"outside/canary": b"new"},
    ),
    "through a link of a lower layer": Case(
        lambda out: [tar(symlink("x", str(out))), tar(entry("x/canary", b"new"))]
    ),
    "through a chain of links": Case(
        lambda out: [
            tar(symlink("a", "b"), symlink("b", "c/d"), symlink("c", "."), symlink("d", str(out))),
            tar(entry("a/canary", b"new")),
        ],
    ),
    "through a link with many parents": Case(
        layers(symlink("x", "../" * 50 + "etc"), entry("x/passwd", b"new")),
        inside={"etc/passwd": b"new"},
    ),
    "through a link to the root": Case(
        layers(symlink("x", "/"), entry("x/passwd", b"new")), inside={"passwd": b"new"}
    ),
    "through a link into proc": Case(
        layers(symlink("x", "/proc/self/root"), entry("x/tmp/f", b"new")),
        inside={"proc/self/root/tmp/f": b"new"},
    ),
    "onto a link": Case(
        lambda out: [tar(symlink("x", at(out, "canary")), entry("x", b"new"))],
        inside={"x": b"new"},
    ),
    "onto a hard link of a link": Case(
        lambda out: [tar(symlink("s", at(out, "canary")), hardlink("h", "s"), entry("h", b"new"))],
        inside={"h": b"new"},
    ),
    "directory onto a link": Case(
        lambda out: [tar(symlink("x", str(out)), directory("x", 0o777), entry("x/f", b"new"))],
        inside={"x/f": b"new"},
    ),
    "fifo onto a link": Case(
        lambda out: [
            tar(symlink("x", at(out, "canary")), entry("x", type=tarfile.FIFOTYPE, mode=0o777))
        ],
    ),
    "link in place of a directory, before its time is set": Case(
        lambda out: [tar(directory("d/sub", 0o777), symlink("d", str(out)))]
    ),
    "link in place of the parent that is open": Case(
        lambda out: [
            tar(
                entry("d/e/f", b"1"),
                symlink("d", str(out)),
                entry("d/canary", b"new"),
                entry("d/e/f", b"2"),
            )
        ]
    ),
    "links in a circle": Case(
        layers(symlink("a", "b"), symlink("b", "a"), entry("a/f", b"x")), "endless link"
    ),
    "link to itself": Case(layers(symlink("a", "a"), entry("a/f", b"x")), "endless link"),
    "link with no target": Case(layers(symlink("a", "")), "cannot unpack 'a'"),
    "link whose target is too long": Case(layers(symlink("a", "x/" * 3000)), "cannot unpack 'a'"),
    "hard link to a file outside": Case(
        lambda out: [tar(hardlink("x", at(out, "canary")), entry("x", b"new"))], "does not exist"
    ),
    "hard link to a parent": Case(layers(hardlink("x", "../outside/canary")), "leads out"),
    "hard link through a link": Case(
        lambda out: [tar(symlink("s", str(out)), hardlink("x", "s/canary"))], "does not exist"
    ),
    "hard link to a directory": Case(
        layers(directory("d"), hardlink("x", "d")), "cannot be a link"
    ),
    "hard link to the root": Case(layers(hardlink("x", "/")), "does not exist"),
    "hard link to nothing": Case(layers(hardlink("x", "nothing")), "cannot be a link"),
    "hard link to what it replaces": Case(
        layers(entry("d/f", b"x"), hardlink("d", "d/f")), "cannot be a link"
    ),
    "whiteout of the parent": Case(layers(entry("a/.wh...")), "whiteout of nothing"),
    "whiteout of itself": Case(layers(entry("a/.wh..")), "whiteout of nothing"),
    "whiteout of nothing": Case(layers(entry(".wh.")), "whiteout of nothing"),
    "whiteout through a link": Case(
        lambda out: [tar(symlink("x", str(out))), tar(entry("x/.wh.canary"))]
    ),
    "opaque through a link": Case(
        lambda out: [tar(symlink("x", str(out))), tar(entry("x/.wh..wh..opq"))]
    ),
    "whiteout of a link": Case(lambda out: [tar(symlink("x", str(out))), tar(entry(".wh.x"))]),
    "whiteout that is a link": Case(
        lambda out: [tar(entry("a", b"1")), tar(symlink(".wh.a", str(out)))]
    ),
    "the root as a link": Case(lambda out: [tar(symlink("./", str(out)))], "only be a directory"),
    "the root as a file": Case(layers(entry(".", b"x")), "only be a directory"),
    "the root as a hard link": Case(layers(hardlink("/", "x")), "only be a directory"),
    "no name at all": Case(lambda _: [header(b"", size=1) + padded(b"x")], "only be a directory"),
    "a file as a parent": Case(
        layers(entry("f", b"x"), entry("f/g", b"y")), "stands among its par"
    ),
    "a name too long": Case(layers(entry("n" * 300, b"x")), "too long"),
    "a path too deep": Case(layers(entry("d/" * BIG + "f", b"x")), "deeper than the limit"),
    "a device": Case(layers(entry("sda", type=tarfile.BLKTYPE, devmajor=8, mode=0o666))),
    "a device onto a link": Case(
        lambda out: [tar(symlink("x", at(out, "canary")), entry("x", type=tarfile.CHRTYPE))]
    ),
    "a type that is unknown": Case(lambda _: [header(b"x", kind=b"Z")], "unknown type"),
    "a zero byte in the name": Case(lambda _: [pax(path="a\0/../x") + header(b"a")], "zero byte"),
    "a bomb in gzip": Case(
        lambda _: [gzip.compress(tar(entry("f", bytes(1 << 22))))],
        "200 to one",
        plain=lambda _: [tar(entry("f", bytes(1 << 22)))],
    ),
    "a bomb in zstd": Case(
        lambda _: [zstandard.compress(tar(entry("f", bytes(1 << 22))))],
        "200 to one",
        plain=lambda _: [b""],
    ),
    "a bomb of files": Case(
        lambda _: [tar(*(entry(f"f{n}") for n in range(201)))], "limit of 200 files"
    ),
    "a bomb of headers": Case(lambda _: [pax(comment="x" * 500) * (1 << 13)], "more than 8388608"),
    "a hole of an exabyte": Case(
        lambda _: [
            pax(GNU__sparse__size=str(1 << 60), GNU__sparse__map="") + header(b"s"),
        ],
        "unpacks to more than",
    ),
    "bytes that are no tar": Case(lambda _: [b"this is no tar at all" * 100], "tar: "),
    "a tar that is cut short": Case(lambda _: [tar(entry("f", b"x" * 5000))[:2000]], "cut short"),
    "a gzip that is broken": Case(
        lambda _: [b"\x1f\x8b" + bytes(500)], "compressed data is broken"
    ),
    "a zstd that is broken": Case(
        lambda _: [b"\x28\xb5\x2f\xfd" + b"\xff" * 500], "compressed data is broken"
    ),
    "a zstd that wants all memory": Case(
        # A frame header whose window descriptor asks for 3.75 TiB.
        lambda _: [b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"],
        "compressed data is broken",
    ),
}


def snapshot(top: Path) -> dict[str, tuple[object, ...]]:
    """Return all there is to know about a tree but for access times."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (top, *top.rglob("*")):
        there = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (
            there.st_mode,
            there.st_ino,
            there.st_nlink,
            there.st_uid,
            there.st_mtime_ns,
            there.st_ctime_ns,
            content,
        )
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    (path / "sub").mkdir(parents=True)
    (path / "canary").write_bytes(b"alive")
    (path / "sub" / "canary").write_bytes(b"alive too")
    return path


@pytest.mark.parametrize("name", CASES)
def test_an_evil_layer_changes_nothing_outside(name: str, tmp_path: Path, outside: Path) -> None:
    case, root = CASES[name], tmp_path / "root"
    host = [(path, path.lstat().st_mtime_ns) for path in map(Path, ("/etc", "/usr", "/etc/passwd"))]
    before = snapshot(outside)
    made = case.layers(outside)
    plain = case.plain(outside) if case.plain else None
    if case.refused is None:
        apply(root, *made, limits=LIMITS, plain=plain)
    else:
        with pytest.raises(ImageCorrupt, match=case.refused):
            apply(root, *made, limits=LIMITS, plain=plain)
    assert snapshot(outside) == before
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "root"}
    assert [(path, path.lstat().st_mtime_ns) for path, _ in host] == host  # nor anywhere else
    for path, content in case.inside.items():
        assert not (root / path).is_symlink()
        assert (root / path).read_bytes() == content


def test_absolute_names_and_links_end_at_the_same_place_inside(
    tmp_path: Path, outside: Path
) -> None:
    root = tmp_path / "root"
    made = tar(symlink("x", str(outside)), entry("x/f", b"1"), entry(at(outside, "g"), b"2"))
    apply(root, made)
    assert (root / below(outside, "f")).read_bytes() == b"1"
    assert (root / below(outside, "g")).read_bytes() == b"2"


def test_no_descriptor_is_left_open_however_it_ends(tmp_path: Path, outside: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    for number, case in enumerate(CASES.values()):
        plain = case.plain(outside) if case.plain else None
        try:
            apply(tmp_path / f"{number}", *case.layers(outside), limits=LIMITS, plain=plain)
        except ImageCorrupt:
            continue
    assert open_files() == before


def test_a_setuid_program_is_out_of_reach_of_other_users(tmp_path: Path) -> None:
    from wherry.images.layout import Layout

    layout = Layout(tmp_path / "store", owner=None)
    (tmp_path / "store").mkdir(mode=0o755)
    layout.make()
    assert layout.rootfs.stat().st_mode & 0o777 == 0o700
