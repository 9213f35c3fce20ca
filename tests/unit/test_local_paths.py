import os
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.engines.local.paths import exists_inside, is_dir_inside, resolve_inside
from wherry.errors import ImageError, UsageError


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/sh").write_text("#!")
    (root / "bin").symlink_to("usr/bin")
    (root / "abs").symlink_to("/usr")
    (root / "up").symlink_to("../../../../usr/bin")
    (root / "usr/back").symlink_to("..")
    (root / "dangling").symlink_to("/nowhere/at/all")
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (tmp_path / "outside").write_text("host")
    (root / "escape").symlink_to("../outside")
    return root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("", "/"),
        ("/usr/bin/sh", "/usr/bin/sh"),
        ("usr//./bin/", "/usr/bin"),
        ("/bin/sh", "/usr/bin/sh"),
        ("/abs/bin/sh", "/usr/bin/sh"),
        ("/up/sh", "/usr/bin/sh"),
        ("/usr/back/bin/sh", "/usr/bin/sh"),
        ("/../../etc", "/etc"),
        ("/bin/../x", "/usr/x"),
        ("/escape", "/outside"),
        ("/dangling/deeper", "/nowhere/at/all/deeper"),
        ("/new/dir/file", "/new/dir/file"),
        ("/new/../bin/sh", "/usr/bin/sh"),
        ("/new/../../../bin", "/usr/bin"),
        ("/usr/bin/sh/below", "/usr/bin/sh/below"),
    ],
)
def test_a_path_is_resolved_as_in_a_chroot(rootfs: Path, path: str, expected: str) -> None:
    assert resolve_inside(rootfs, path) == expected


def test_a_loop_of_links_is_an_error_that_names_the_path(rootfs: Path) -> None:
    with pytest.raises(UsageError, match=r"'/a/x' passes through more than 40"):
        resolve_inside(rootfs, "/a/x")


@pytest.mark.parametrize(("links", "fine"), [(40, True), (41, False)])
def test_exactly_forty_links_are_followed(tmp_path: Path, links: int, fine: bool) -> None:
    for number in range(links):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}")
    if fine:
        assert resolve_inside(tmp_path, "l0") == f"/l{links}"
    else:
        with pytest.raises(UsageError):
            resolve_inside(tmp_path, "l0")


def test_existence_is_asked_inside_the_root_only(rootfs: Path) -> None:
    assert exists_inside(rootfs, "/bin/sh")
    assert not is_dir_inside(rootfs, "/bin/sh")
    assert is_dir_inside(rootfs, "/bin")
    assert is_dir_inside(rootfs, "/")
    assert not exists_inside(rootfs, "/escape")
    assert not exists_inside(rootfs, "/dangling")
    assert not exists_inside(rootfs, "/usr/bin/sh/below")


def test_impossible_names_are_refused(rootfs: Path) -> None:
    with pytest.raises(UsageError, match="NUL"):
        resolve_inside(rootfs, "/usr/\0")
    with pytest.raises(UsageError, match="longer"):
        resolve_inside(rootfs, "/" + "x" * 300)


def test_a_directory_that_cannot_be_read_is_an_error_not_an_answer() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)
        (root / "usr/bin").mkdir(parents=True)
        (root / "usr").chmod(0)
        me = os.geteuid()
        os.seteuid(me or 65534)  # root reads everything
        try:
            with pytest.raises(ImageError, match="/usr/bin cannot be read"):
                resolve_inside(root, "/usr/bin/sh")
        finally:
            os.seteuid(me)
            (root / "usr").chmod(0o755)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    parts=st.lists(
        st.sampled_from(["..", ".", "", "bin", "usr", "abs", "up", "back", "escape", "new", "sh"]),
        max_size=8,
    )
)
def test_no_spelling_leads_outside_and_resolving_twice_changes_nothing(
    rootfs: Path, parts: list[str]
) -> None:
    once = resolve_inside(rootfs, "/".join(parts))
    assert once.startswith("/")
    assert ".." not in PurePosixPath(once).parts
    assert resolve_inside(rootfs, once) == once
    for parent in [PurePosixPath(once), *PurePosixPath(once).parents]:
        assert not Path(f"{rootfs}{parent}").is_symlink() or parent == PurePosixPath("/")
