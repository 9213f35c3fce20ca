"""The verbs of `wherry image`, and logins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.busybox import rootfs_tar
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.shell import Shell


def test_ls_lists_names_ids_and_sizes(sh: Shell) -> None:
    heads, *rows = sh.out("wherry image ls").splitlines()
    assert heads.split() == ["NAME", "ID", "SIZE"]
    assert [row.split()[0] for row in rows] == ["busybox:latest"]
    [found] = json.loads(sh.out("wherry image ls --json"))
    assert found["names"] == ["docker.io/library/busybox:latest"]
    assert rows[0].split()[1] == found["id"].removeprefix("sha256:")[:12]
    assert found["size"] > 1_000_000


def test_inspect_shows_the_configuration(sh: Shell) -> None:
    [found] = json.loads(sh.out("wherry image inspect busybox"))
    assert found["config"]["Cmd"] == ["sh"]
    assert found["platform"]["os"] == "linux"
    assert found["layers"][0]["size"] > 0
    missing = sh.run("wherry image inspect nosuch")
    assert missing.returncode == 125
    assert b"wherry image inspect: image 'nosuch' is not on this machine" in missing.stderr


def test_import_keeps_what_it_is_told(sh: Shell) -> None:
    sh.file("rootfs.tar", rootfs_tar())
    options = (
        """--entrypoint '["sh", "-c"]' --cmd 'echo "$GREETING $PWD $(id -u)"' """.replace(
            """'echo "$GREETING $PWD $(id -u)"'""",
            """'["echo \\"$GREETING $PWD $(id -u)\\""]'""",
        )
        + "-e GREETING=hello -u ferryman -w /var/tmp -l team=boats --stop-signal INT"
    )
    assert sh.out(f"wherry image import {options} rootfs.tar own/tool:1") == "own/tool:1\n"
    assert sh.out("wherry run own/tool:1") == "hello /var/tmp 1000\n"
    [found] = json.loads(sh.out("wherry image inspect own/tool:1"))
    assert found["config"]["Labels"] == {"team": "boats"}
    sh.out("wherry image rm own/tool:1")


def test_from_host_makes_an_image_of_programs(sh: Shell) -> None:
    sh.file("motto", b"semper\n")
    script = "wherry image from-host tools cat tr --file motto:/etc/motto --entrypoint 'cat -n'"
    assert sh.out(script) == "tools:latest\n"
    assert sh.out("wherry run tools /etc/motto").split() == ["1", "semper"]
    assert sh.out("echo hi | wherry run --entrypoint tr tools a-z A-Z") == "HI\n"
    sh.out("wherry image rm tools")
    wrong = sh.run("wherry image from-host tools nosuchprogram")
    assert wrong.returncode == 2
    assert b"'nosuchprogram' is not on this machine's PATH" in wrong.stderr


def test_save_and_load_carry_an_image(sh: Shell) -> None:
    sh.out("wherry image save -o saved.tar busybox")
    sh.out("wherry image save busybox > piped.tar")
    assert (sh.home / "saved.tar").read_bytes() == (sh.home / "piped.tar").read_bytes()
    for load in ("load piped.tar", "load < piped.tar", "load - <piped.tar"):
        assert sh.out(f"wherry --data-dir other image {load}") == "busybox:latest\n"
    assert sh.out("cat saved.tar | wherry image load --data-dir other") == "busybox:latest\n"
    assert sh.out("wherry image load --name renamed:2 saved.tar") == "renamed:2\n"
    assert sh.out("wherry run --data-dir other busybox echo hi") == "hi\n"
    assert "untagged docker.io/library/renamed:2" in sh.out("wherry image rm renamed:2")


def test_an_archive_is_not_written_to_a_terminal(sh: Shell) -> None:
    with Terminal(sh, "wherry image save busybox") as terminal:
        assert terminal.wait() == 2
        assert b"an archive is nothing for a terminal" in terminal.shown


def test_load_refuses_what_is_no_archive(sh: Shell) -> None:
    done = sh.run("wherry image load", stdin=rootfs_tar())
    assert done.returncode == 125
    assert b"is no image archive" in done.stderr


def test_tag_and_rm_change_names(sh: Shell) -> None:
    sh.out("wherry image tag busybox mine/box:2")
    assert "mine/box:2" in sh.out("wherry image ls -q").split()
    assert sh.out("wherry run mine/box:2 echo hi") == "hi\n"
    assert sh.out("wherry image rm mine/box:2") == "untagged docker.io/mine/box:2\n"
    gone = sh.run("wherry image rm mine/box:2")
    assert gone.returncode == 125
    assert sh.run("wherry image rm -f mine/box:2").returncode == 0


def test_prune_removes_what_is_not_needed(sh: Shell) -> None:
    data = "--data-dir pruned"
    sh.out(f"wherry image import {data} - old", stdin=rootfs_tar())
    kept = json.loads(sh.out(f"wherry image prune {data} --json"))
    assert kept["names"] == []
    assert json.loads(sh.out(f"wherry image du {data} --json"))["images"] == 1
    pruned = sh.run(f"wherry image prune {data} -a")
    assert b"untagged docker.io/library/old:latest\n" in pruned.stdout
    assert b"freed" in pruned.stderr
    assert json.loads(sh.out(f"wherry image du {data} --json"))["total"] == 0


def test_du_adds_up(sh: Shell) -> None:
    found = json.loads(sh.out("wherry image du --json"))
    assert found["total"] == found["blobs"] + found["rootfs"] + found["partial"]
    assert "together" in sh.out("wherry image du")


def test_pull_says_where_it_failed(sh: Shell) -> None:
    done = sh.run("wherry image pull localhost:1/x/y")
    assert done.returncode == 125
    assert done.stderr.startswith(b"wherry image pull: ")
    assert b"localhost:1" in done.stderr


def test_image_verbs_that_do_not_exist_name_the_nearest(sh: Shell) -> None:
    done = sh.run("wherry image list")
    assert done.returncode == 2
    assert done.stderr.startswith(b"wherry: there is no command 'list'")
    assert b"wherry image --help" in done.stderr


def test_login_takes_no_password_from_its_arguments(sh: Shell) -> None:
    done = sh.run("wherry login -u me -p secret localhost:1")
    assert done.returncode == 2
    assert b"use --password-stdin" in done.stderr


def test_login_without_a_terminal_says_how(sh: Shell) -> None:
    done = sh.run("wherry login localhost:1")
    assert done.returncode == 2
    assert b"stdin is no terminal to ask at; give --username" in done.stderr


def test_login_asks_at_a_terminal_and_shows_no_password(sh: Shell) -> None:
    with Terminal(sh, "wherry login localhost:1") as terminal:
        terminal.read_until("Username: ")
        terminal.type("me\n")
        terminal.read_until("Password: ")
        terminal.type("hunter2\n")
        assert terminal.wait() == 125
        assert b"hunter2" not in terminal.shown


def test_a_login_that_is_refused_is_not_stored(sh: Shell) -> None:
    done = sh.run("wherry login -u me --password-stdin localhost:1", stdin=b"secret\n")
    assert done.returncode == 125
    assert b"logged in" not in done.stderr
    assert sh.run("wherry logout localhost:1").returncode == 1
