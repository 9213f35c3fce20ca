"""What layers become: merged, replaced, hidden, and everything a user may keep of them."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from pathlib import Path

import pytest
from tests.support.layers import (
    MTIME,
    apply,
    directory,
    entry,
    hardlink,
    header,
    padded,
    pax,
    pax_of,
    symlink,
    tar,
)

from wherry.errors import ImageCorrupt, ImageError
from wherry.images import tree

NOTHING = tar()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def listing(root: Path) -> dict[str, str]:
    """Return the paths below a root, with the content of files and the targets of links."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_keep_content_mode_and_time(root: Path) -> None:
    apply(root, tar(directory("d", 0o750), entry("d/f", b"hello", mode=0o640), symlink("l", "d/f")))
    assert listing(root) == {"d": "/", "d/f": "hello", "l": "-> d/f"}
    assert (mode(root / "d"), mode(root / "d/f")) == (0o750, 0o640)
    assert {(root / name).lstat().st_mtime for name in ("d", "d/f", "l")} == {MTIME}


def test_a_later_layer_replaces_files_and_merges_directories(root: Path) -> None:
    apply(
        root,
        tar(directory("d", 0o700), entry("d/old", b"1"), entry("d/both", b"1")),
        tar(directory("d", 0o755), entry("d/both", b"2"), entry("d/new", b"2")),
    )
    assert listing(root) == {"d": "/", "d/both": "2", "d/new": "2", "d/old": "1"}
    assert mode(root / "d") == 0o755


def test_a_file_is_replaced_not_written_through_its_other_names(root: Path) -> None:
    apply(root, tar(entry("a", b"1"), hardlink("b", "a")), tar(entry("a", b"2")))
    assert listing(root) == {"a": "2", "b": "1"}


@pytest.mark.parametrize("old", ["file", "dir", "symlink", "fifo", "full"])
@pytest.mark.parametrize("new", ["file", "dir", "symlink", "fifo", "link"])
def test_anything_can_be_replaced_by_anything(old: str, new: str, root: Path) -> None:
    kinds = {
        "file": [entry("x", b"file")],
        "dir": [directory("x")],
        "full": [entry("x/y/z", b"deep")],
        "symlink": [symlink("x", "nowhere")],
        "fifo": [entry("x", type=tarfile.FIFOTYPE)],
        "link": [hardlink("x", "other")],
    }
    apply(root, tar(entry("other", b"other"), *kinds[old]), tar(*kinds[new]))
    there = (root / "x").lstat()
    checks = {
        "file": stat.S_ISREG,
        "link": stat.S_ISREG,
        "dir": stat.S_ISDIR,
        "symlink": stat.S_ISLNK,
        "fifo": stat.S_ISFIFO,
    }
    assert checks[new](there.st_mode)
    assert (root / "x" / "y").exists() is (old == "full" and new == "dir")


def test_a_whiteout_hides_what_is_below_it(root: Path) -> None:
    apply(
        root,
        tar(entry("a/f", b"1"), entry("a/g", b"1"), entry("b/deep/f", b"1"), symlink("l", "a")),
        tar(entry("a/.wh.f"), entry(".wh.b"), entry(".wh.l"), entry("a/.wh.never-was")),
    )
    assert listing(root) == {"a": "/", "a/g": "1"}


@pytest.mark.parametrize("first", [True, False])
def test_a_whiteout_does_not_hide_its_own_layer(first: bool, root: Path) -> None:
    new, hidden = [entry("a/new", b"2")], [entry(".wh.a")]
    apply(
        root,
        tar(directory("a"), entry("a/old", b"1"), directory("a/sub"), entry("a/sub/old", b"1")),
        tar(*(hidden + new if first else new + hidden)),
    )
    assert listing(root) == {"a": "/", "a/new": "2"}


@pytest.mark.parametrize("first", [True, False])
def test_an_opaque_directory_hides_all_lower_content_and_nothing_else(
    first: bool, root: Path
) -> None:
    new = [entry("d/new", b"2"), directory("d/sub"), entry("d/sub/new", b"2")]
    opaque = [entry("d/.wh..wh..opq")]
    apply(
        root,
        tar(entry("d/old", b"1"), entry("d/sub/old", b"1"), entry("e/old", b"1")),
        tar(directory("d"), *(opaque + new if first else new + opaque)),
    )
    assert listing(root) == {
        "d": "/",
        "d/new": "2",
        "d/sub": "/",
        "d/sub/new": "2",
        "e": "/",
        "e/old": "1",
    }


def test_a_file_that_was_hidden_can_come_back_in_a_later_layer(root: Path) -> None:
    apply(root, tar(entry("f", b"1")), tar(entry(".wh.f")), tar(entry("f", b"3")))
    assert listing(root) == {"f": "3"}


def test_what_aufs_keeps_for_itself_is_left_out(root: Path) -> None:
    apply(
        root, tar(directory(".wh..wh.plnk"), entry(".wh..wh.plnk/1.2", b"x"), entry(".wh..wh.aufs"))
    )
    assert listing(root) == {}


def test_hard_links_reach_into_lower_layers(root: Path) -> None:
    apply(root, tar(entry("d/a", b"1")), tar(hardlink("e/b", "d/a"), hardlink("c", "/d/a")))
    assert {(root / name).stat().st_ino for name in ("e/b", "c")} == {(root / "d/a").stat().st_ino}


def test_a_hard_link_to_itself_changes_nothing(root: Path) -> None:
    apply(root, tar(entry("a", b"1"), hardlink("a", "./a")))
    assert listing(root) == {"a": "1"}


def test_a_hard_link_to_a_symlink_is_one_to_the_link(root: Path) -> None:
    apply(root, tar(symlink("s", "target"), hardlink("h", "s")))
    assert listing(root) == {"s": "-> target", "h": "-> target"}


def test_entries_below_a_link_to_a_directory_go_where_it_leads(root: Path) -> None:
    apply(
        root,
        tar(directory("usr/lib"), symlink("lib", "usr/lib"), symlink("abs", "/usr/lib")),
        tar(entry("lib/a", b"1"), entry("abs/b", b"1"), hardlink("lib/c", "abs/b")),
    )
    assert (root / "lib").is_symlink()
    assert {path.name for path in (root / "usr/lib").iterdir()} == {"a", "b", "c"}


def test_a_directory_entry_replaces_a_link(root: Path) -> None:
    apply(root, tar(entry("usr/f"), symlink("x", "usr")), tar(directory("x"), entry("x/g", b"2")))
    assert not (root / "x").is_symlink()
    assert listing(root / "x") == {"g": "2"}


def test_the_time_of_a_directory_that_became_a_link_is_not_that_of_its_target(root: Path) -> None:
    apply(root, tar(directory("e", mtime=2), directory("d", mtime=1), symlink("d", "e")))
    assert (root / "e").stat().st_mtime == 2


def test_missing_parents_are_made(root: Path) -> None:
    apply(root, tar(entry("a/b/c", b"1")))
    assert mode(root / "a") == mode(root / "a/b") == 0o755


@pytest.mark.parametrize("name", ["/f", "./f", "//f", "a/../f", "./a/.././f", "/a/b/../../f"])
def test_names_are_taken_relative_to_the_root(name: str, root: Path) -> None:
    apply(root, tar(entry(name, b"1")))
    assert listing(root) == {"f": "1"}


def test_the_root_takes_the_mode_of_its_entry_at_the_very_end(root: Path) -> None:
    apply(root, tar(directory("./", 0o711), entry("./f", b"1")))
    assert mode(root) == 0o711
    assert root.stat().st_mtime == MTIME


def test_directories_stay_open_to_their_owner_whatever_the_image_says(root: Path) -> None:
    apply(
        root,
        tar(directory("none", 0), entry("none/f", b"1", mode=0), directory("ro", 0o555)),
        tar(entry("none/g", b"2", mode=0o044), entry("ro/h", b"2")),
    )
    assert (mode(root / "none"), mode(root / "ro")) == (0o700, 0o755)
    assert (mode(root / "none/f"), mode(root / "none/g")) == (0o400, 0o444)


def test_setuid_setgid_and_sticky_bits_are_kept(root: Path) -> None:
    apply(
        root,
        tar(entry("su", b"x", mode=0o4755), entry("sg", b"x", mode=0o2755), directory("t", 0o1777)),
    )
    assert [mode(root / name) for name in ("su", "sg", "t")] == [0o4755, 0o2755, 0o1777]


def test_devices_are_left_out_and_fifos_kept(root: Path) -> None:
    apply(
        root,
        tar(
            entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
            entry("dev/sda", type=tarfile.BLKTYPE),
            entry("pipe", type=tarfile.FIFOTYPE, mode=0o620),
        ),
    )
    assert list((root / "dev").iterdir()) == []
    assert stat.S_ISFIFO((root / "pipe").lstat().st_mode)
    assert mode(root / "pipe") == 0o620


def test_a_sparse_file_has_its_holes(root: Path) -> None:
    size = 64 << 20
    layer = (
        pax(GNU__sparse__size=str(size), GNU__sparse__map=f"0,3,{size - 3},3")
        + header(b"s", size=6)
        + padded(b"abcxyz")
    )
    apply(root, layer)
    there = (root / "s").stat()
    assert there.st_size == size
    assert there.st_blocks * 512 < 1 << 20
    with (root / "s").open("rb") as file:
        assert file.read(4) == b"abc\0"
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"\0xyz"


def has_attributes(place: Path) -> bool:
    """Whether the file system keeps what users note on their files."""
    try:
        os.setxattr(place, "user.probe", b"")
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return False
        raise
    os.removexattr(place, "user.probe")
    return True


def test_user_attributes_are_kept_and_those_with_power_are_not(root: Path) -> None:
    attributes = [
        ("SCHILY.xattr.user.note", b"kept"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.security.capability", bytes.fromhex("0100000200000000" + "00" * 12)),
    ]
    apply(root, pax_of(attributes) + header(b"f") + pax_of(attributes) + header(b"d", kind=b"5"))
    for name in ("f", "d"):
        kept = set(os.listxattr(root / name)) - {"security.selinux"}
        assert kept == ({"user.note"} if has_attributes(root) else set())


def test_names_of_any_length_and_any_bytes_are_kept(root: Path) -> None:
    deep = "/".join(["d" * 200] * 15) + "/" + "f" * 255
    odd = os.fsdecode(b"\xff\xfe not utf-8 \n")
    apply(root, tar(entry(deep, b"1"), format=tarfile.GNU_FORMAT), tar(entry(odd, b"2")))
    assert sum(name.count("f" * 255) for name in listing(root)) == 1
    assert odd in [path.name for path in root.iterdir()]


def test_times_beyond_what_file_systems_hold_are_bounded(root: Path) -> None:
    far = str(1 << 60)
    apply(root, pax(mtime=far) + header(b"f") + pax(mtime="-" + far) + header(b"d", kind=b"5"))
    assert listing(root) == {"f": "", "d": "/"}


def test_a_full_disk_is_no_fault_of_the_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.symlink", full)
    with pytest.raises(ImageError, match=r"'s'.*No space left") as caught:
        apply(root, tar(symlink("s", "x")))
    assert not isinstance(caught.value, ImageCorrupt)


def test_a_tree_is_removed_whatever_its_modes_and_depth(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    os.mkfifo(top / "pipe")
    (top / "link").symlink_to("/")
    (top / "locked" / "inner").mkdir(parents=True)
    (top / "locked" / "inner" / "f").touch(mode=0)
    (top / "locked" / "inner").chmod(0)
    (top / "locked").chmod(0o500)
    here = os.open(top, os.O_RDONLY)
    for _ in range(1500):  # deeper than any path, and than descriptors would last
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    tree.remove(str(top))
    assert list(tmp_path.iterdir()) == []
    tree.remove(str(top))
