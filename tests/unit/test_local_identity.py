import os
from pathlib import Path

import pytest

from wherry.engines.local import identity
from wherry.engines.local.identity import Identity, resolve_user
from wherry.errors import ImageError, UsageError

PASSWD = """\
# comment
root:x:0:0:root:/root:/bin/sh
broken:x
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
nginx:x:101:102::/var/cache/nginx:
1000:x:77:77::/named-as-a-number:/bin/sh
homeless:x:103:103:::
huge:x:99999999999:0::/:
"""
GROUP = "root:x:0:\nnogroup:x:65534:\nwww:x:33:nginx\nbad\n"


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", Identity(0, 0, "/root", "root")),
        ("root", Identity(0, 0, "/root", "root")),
        ("0", Identity(0, 0, "/root", "root")),
        ("nginx", Identity(101, 102, "/var/cache/nginx", "nginx")),
        ("101", Identity(101, 102, "/var/cache/nginx", "nginx")),
        ("nginx:www", Identity(101, 33, "/var/cache/nginx", "nginx")),
        ("nginx:5", Identity(101, 5, "/var/cache/nginx", "nginx")),
        ("7:www", Identity(7, 33, "/", None)),
        ("7:8", Identity(7, 8, "/", None)),
        ("4242", Identity(4242, 0, "/", None)),
        (":www", Identity(0, 33, "/root", "root")),
        ("1000", Identity(1000, 0, "/", None)),
        ("homeless", Identity(103, 103, "/", "homeless")),
        ("2147483647", Identity(2147483647, 0, "/", None)),
    ],
)
def test_a_user_is_found_by_dockers_rules(rootfs: Path, spec: str, expected: Identity) -> None:
    assert resolve_user(spec, rootfs) == expected


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("alice", "no user 'alice'"),
        ("broken", "no user 'broken'"),
        ("huge", "no user 'huge'"),
        ("-1", "no user '-1'"),
        ("nginx:crew", "no group 'crew'"),
        ("2147483648", "out of range"),
        ("1:99999999999999999999", "out of range"),
        ("a:b:c", "'a:b:c' is not"),
        ("nginx:", "'nginx:' is not"),
    ],
)
def test_a_user_that_cannot_be_is_named_in_the_error(rootfs: Path, spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve_user(spec, rootfs)


def test_an_image_without_accounts_still_has_numbers(tmp_path: Path) -> None:
    assert resolve_user("", tmp_path) == Identity(0, 0, "/", None)
    assert resolve_user("12:13", tmp_path) == Identity(12, 13, "/", None)
    with pytest.raises(UsageError, match="no user 'root'"):
        resolve_user("root", tmp_path)


def test_links_are_followed_inside_the_image_and_never_out_of_it(tmp_path: Path) -> None:
    rootfs = tmp_path / "image"
    (rootfs / "etc").mkdir(parents=True)
    (rootfs / "private").mkdir()
    (rootfs / "private/passwd").write_text("app:x:9:9::/app:\n")
    (rootfs / "etc/passwd").symlink_to("/private/passwd")
    assert resolve_user("app", rootfs).home == "/app"
    (tmp_path / "passwd").write_text("host:x:1:1::/:\n")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to(tmp_path / "passwd")
    with pytest.raises(UsageError, match="no user 'host'"):
        resolve_user("host", rootfs)


def test_a_file_that_is_too_large_is_refused(rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MAX_ACCOUNT_FILE", 16)
    with pytest.raises(ImageError, match="larger than 16 bytes"):
        resolve_user("root", rootfs)


def test_a_fifo_in_place_of_the_file_neither_blocks_nor_counts(rootfs: Path) -> None:
    (rootfs / "etc/passwd").unlink()
    os.mkfifo(rootfs / "etc/passwd")
    with pytest.raises(ImageError, match="not a regular file"):
        resolve_user("root", rootfs)
