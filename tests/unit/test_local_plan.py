"""What a function becomes on this machine, or why it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.local_calls import function_of
from tests.support.local_plans import image_at, planned, small_rootfs

from wherry.engines.local import plan
from wherry.engines.local.plan import PATH
from wherry.errors import ImageError, UsageError
from wherry.images.model import ImageConfig
from wherry.models import Collect, File, Invocation, Mount, Secret

WORDS = st.lists(st.text(st.characters(blacklist_characters="\0"), max_size=5), max_size=3)


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return small_rootfs(tmp_path / "rootfs")


@given(entrypoint=WORDS, cmd=WORDS, given=st.one_of(st.none(), WORDS), command=WORDS, args=WORDS)
def test_what_runs_is_put_together_as_docker_does(
    entrypoint: list[str],
    cmd: list[str],
    given: list[str] | None,
    command: list[str],
    args: list[str],
) -> None:
    config = ImageConfig(entrypoint=tuple(entrypoint), cmd=tuple(cmd))
    function = function_of(*command, entrypoint=None if given is None else tuple(given))
    made = plan.make(function, image_at(Path("/nonexistent"), config))
    invocation = Invocation(function=function, args=tuple(args))
    first = entrypoint if given is None else given
    rest = [*command, *args] or (cmd if given is None else [])
    if [*first, *rest]:
        assert made.argv(invocation) == [*first, *rest]
    else:
        with pytest.raises(UsageError, match="names no command of its own"):
            made.argv(invocation)


def test_the_environment_has_what_every_program_expects(rootfs: Path) -> None:
    made = planned(rootfs, "true", user="ferryman", workdir="/srv")
    env = made.env(Invocation(function=made.function), "ferry")
    assert env == {
        "PATH": PATH,
        "HOSTNAME": "ferry",
        "HOME": "/home/ferryman",
        "PWD": "/srv",
    }


def test_every_part_of_the_environment_can_be_overridden_but_pwd(rootfs: Path) -> None:
    config = ImageConfig(env={"HOME": "/image", "A": "image"})
    made = planned(rootfs, "true", config=config, env={"A": "function", "PWD": "/wrong"})
    call = Invocation(function=made.function, env={"HOSTNAME": "other"})
    env = made.env(call, "ferry")
    assert (env["HOME"], env["A"], env["PWD"], env["HOSTNAME"]) == (
        "/image",
        "function",
        "/",
        "other",
    )


def test_a_call_with_thousands_of_words_is_known_as_long(rootfs: Path) -> None:
    made = planned(rootfs, "true")
    short = Invocation(function=made.function, args=("x",) * 1000, env={"A": "1"})
    assert not made.is_long(short)
    assert made.is_long(Invocation(function=made.function, args=("x",) * 9000))
    variables = {f"V{number}": "" for number in range(3000)}
    assert made.is_long(Invocation(function=made.function, env=variables))
    assert planned(rootfs, "true", env=variables).is_long(short)


def test_only_directories_that_are_missing_are_made(rootfs: Path) -> None:
    config = ImageConfig(volumes=("/data", "/var/lib", "/lib/deep"), workdir="/srv/app")
    made = planned(rootfs, "true", config=config)
    assert made.directories == ("/data", "/usr/deep", "/srv/app")
    (rootfs / "tmp").rmdir()
    assert planned(rootfs, "true").directories == ("/tmp",)


def test_every_path_is_resolved_inside_of_the_image(rootfs: Path, tmp_path: Path) -> None:
    (rootfs / "etc/hosts").symlink_to("/var/hosts")
    (rootfs / "etc/resolv.conf").symlink_to("../../../../../../run/resolve")
    (rootfs / "out").symlink_to(tmp_path)
    mount = Mount(target="/lib/data", type="tmpfs")
    made = planned(
        rootfs, "true", mounts=(mount,), files=(File(target="/out/x", data=b""),),
        collect=(Collect(path="/lib/out/../in", to="/tmp"),),
    )  # fmt: skip
    assert (made.hosts, made.resolv_conf) == ("/var/hosts", "/run/resolve")
    assert [at.path for at in made.mounts] == ["/usr/data"]
    assert [at.path for at in made.files] == [f"{tmp_path}/x"]
    assert [at.path for at in made.collect] == ["/usr/in"]


def test_outer_mounts_come_before_inner_ones(rootfs: Path) -> None:
    targets = ("/a/b/c", "/a", "/lib/x/y", "/a/b")
    made = planned(rootfs, "true", mounts=[Mount(target=to, type="tmpfs") for to in targets])
    assert [at.path for at in made.mounts] == ["/a", "/a/b", "/a/b/c", "/usr/x/y"]


@pytest.mark.parametrize(
    ("link", "target", "words"),
    [
        ("proc", "/", "/proc leads to '/'"),
        ("dev", "/", "/dev to '/'"),
        ("dev", "/proc/x", "must be two directories"),
        ("proc", "dev", "must be two directories"),
        ("srv", "/proc/self", "inside of /proc"),
        ("run", "/proc/1", "inside of /proc"),
    ],
)
def test_an_image_that_leads_our_own_places_elsewhere_is_refused(
    rootfs: Path, link: str, target: str, words: str
) -> None:
    (rootfs / link).symlink_to(target)
    with pytest.raises(ImageError, match=words):
        planned(rootfs, "true", workdir="/srv")


def test_an_image_with_its_temporary_directory_in_proc_is_refused(rootfs: Path) -> None:
    (rootfs / "tmp").rmdir()
    (rootfs / "tmp").symlink_to("proc/tmp")
    with pytest.raises(ImageError, match="/proc/tmp"):
        planned(rootfs, "true")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mounts": (Mount(target="/lib/../proc/x", type="tmpfs"),)}, "/proc belongs"),
        ({"files": (File(target="/dev/x", data=b""),)}, "/dev belongs"),
        ({"collect": (Collect(path="/sys/x", to="/tmp"),)}, "/sys belongs"),
        ({"collect": (Collect(path="relative", to="/tmp"),)}, "absolute path"),
        ({"secrets": (Secret(name="x"),)}, "give either path or value"),
        ({"secrets": (Secret(name="x", path="/etc", value=b""),)}, "give either path or value"),
        ({"secrets": (Secret(name="x", path="/etc"),)}, "no regular file"),
        ({"hostname": "a b"}, "hostname 'a b'"),
        ({"user": "nobody-here"}, "no user 'nobody-here'"),
        ({"workdir": "x"}, "workdir 'x' must be an absolute path"),
        ({"workdir": "/x\0y"}, "must be an absolute path"),
    ],
)
def test_what_cannot_be_is_named(rootfs: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(rootfs, "true", **fields)


def test_a_link_of_the_image_cannot_lead_a_file_into_proc(rootfs: Path) -> None:
    (rootfs / "in").symlink_to("/proc/sys")
    with pytest.raises(UsageError, match="/proc belongs to the sandbox itself"):
        planned(rootfs, "true", files=(File(target="/in/kernel", data=b""),))


def test_a_working_directory_is_made_in_the_innermost_mount_only_if_that_is_a_tmpfs(
    rootfs: Path, tmp_path: Path
) -> None:
    bind = Mount(target="/a", source=str(tmp_path))
    (tmp_path / "b").mkdir()
    tmpfs = Mount(target="/a/b", type="tmpfs")
    cases = {"/a": (), "/a/x": (), "/a/b": ("/a/b",), "/a/b/x": ("/a/b/x",), "/z": ()}
    for workdir, made in cases.items():
        result = planned(rootfs, "true", mounts=(tmpfs, bind), workdir=workdir)
        assert result.mounted_directories == made, workdir


@pytest.mark.parametrize("name", ["hosts", "hostname"])
def test_an_image_whose_name_file_cannot_be_written_is_refused_and_not_waited_for(
    rootfs: Path, name: str
) -> None:
    os.mkfifo(rootfs / "odd")
    (rootfs / "etc").mkdir(exist_ok=True)
    (rootfs / "etc" / name).symlink_to("/odd")
    with pytest.raises(ImageError, match="no regular file at '/odd'"):
        planned(rootfs, "true")
    file = File(target=f"/etc/{name}", data=b"")
    with pytest.raises(UsageError, match="'/odd': what the image has there is no regular"):
        planned(rootfs, "true", files=(file,))
    mount = Mount(target=f"/etc/{name}", source="/dev/null")
    planned(rootfs, "true", mounts=(mount,))


def test_name_servers_are_written_only_where_there_is_a_network(rootfs: Path) -> None:
    (rootfs / "etc").mkdir(exist_ok=True)
    os.mkfifo(rootfs / "etc" / "resolv.conf")
    planned(rootfs, "true")
    with pytest.raises(ImageError, match=r"no regular file at '/etc/resolv.conf'"):
        planned(rootfs, "true", network="host")
