"""Mounts of the real local engine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.errors import UsageError
from wherry.models import Mount

if TYPE_CHECKING:
    from tests.support.local_calls import Calls


@pytest.fixture
def shore() -> Iterator[Path]:
    """Make a directory of the host that the sandbox user can use too; pytest's are private."""
    path = Path(tempfile.mkdtemp(prefix="wherry-shore-", dir="/var/tmp"))
    path.chmod(0o777)
    (path / "file").write_text("from the host\n")
    (path / "sub").mkdir()
    (path / "sub").chmod(0o777)
    yield path
    shutil.rmtree(path)


def bind(source: Path, target: str, *, read_only: bool = True) -> Mount:
    return Mount(target=target, source=str(source), read_only=read_only)


async def test_a_bind_mount_is_read_only_unless_said_otherwise(calls: Calls, shore: Path) -> None:
    script = "cat /data/file; touch /data/new 2>&1 || touch /data/sub/new 2>&1; rm /data/file 2>&1"
    result = await calls.sh(script, mounts=(bind(shore, "/data"),))
    assert result.stdout.startswith(b"from the host\n")
    assert result.stdout.count(b"Read-only file system") == 3
    assert {path.name for path in shore.iterdir()} == {"file", "sub"}


async def test_a_read_only_mount_stays_so_whatever_the_program_tries(
    calls: Calls, shore: Path
) -> None:
    script = "mount -o remount,rw /data; mount --bind /data /tmp; umount /data; touch /data/new"
    result = await calls.sh(script, mounts=(bind(shore, "/data"),))
    assert result.exit.code == 1
    assert not (shore / "new").exists()


async def test_a_writable_bind_mount_writes_to_the_host(calls: Calls, shore: Path) -> None:
    mounts = (bind(shore, "/data", read_only=False),)
    assert await calls.lines("echo inside > /data/new; cat /data/new", mounts=mounts) == ["inside"]
    assert (shore / "new").read_text() == "inside\n"


async def test_a_read_only_root_leaves_mounts_writable(calls: Calls, shore: Path) -> None:
    mounts = (bind(shore, "/data", read_only=False), Mount(target="/cache", type="tmpfs"))
    await calls.lines("touch /data/new /cache/new", mounts=mounts, read_only=True)
    assert (shore / "new").exists()


async def test_a_file_can_be_mounted_upon_a_file_and_where_there_is_none(
    calls: Calls, shore: Path
) -> None:
    mounts = (bind(shore / "file", "/etc/passwd"), bind(shore / "file", "/new/place"))
    lines = await calls.lines("cat /etc/passwd /new/place", mounts=mounts)
    assert lines == ["from the host"] * 2


async def test_mounts_nest_in_any_order(calls: Calls, shore: Path) -> None:
    outer, inner = bind(shore, "/data"), Mount(target="/data/sub", type="tmpfs")
    deepest = bind(shore / "file", "/data/sub/a/b")
    for mounts in ((outer, inner, deepest), (deepest, inner, outer)):
        lines = await calls.lines("touch /data/sub/x; ls /data /data/sub; cat /data/sub/a/b",
                                  mounts=mounts)  # fmt: skip
        assert lines == ["/data:", "file", "sub", "", "/data/sub:", "a", "x", "from the host"]
    assert list((shore / "sub").iterdir()) == []


async def test_a_tmpfs_has_the_size_it_was_given(calls: Calls) -> None:
    mounts = (Mount(target="/cache", type="tmpfs", size=1 << 20),)
    result = await calls.sh("ls /cache; dd if=/dev/zero of=/cache/x bs=4k", mounts=mounts)
    assert b"No space left on device" in result.stderr
    lines = await calls.lines("dd if=/dev/zero of=/cache/x bs=64k count=16 2>/dev/null; "
                              "stat -c '%a %s' /cache /cache/x", mounts=mounts)  # fmt: skip
    assert lines[0].startswith("1777 ")
    assert lines[1].endswith(f" {1 << 20}")


async def test_a_mount_goes_where_a_link_of_the_image_leads(calls: Calls, shore: Path) -> None:
    image = calls.image("led", add={"real": 0o755, "link": "/real", "up": "../../../../../real"})
    for target in ("/link/data", "/up/data"):
        lines = await calls.lines("cat /real/data/file", image=image, mounts=(bind(shore, target),))
        assert lines == ["from the host"]


async def test_a_source_may_be_a_link(calls: Calls, shore: Path) -> None:
    (shore / "link").symlink_to("file")
    assert await calls.lines("cat /x", mounts=(bind(shore / "link", "/x"),)) == ["from the host"]


async def test_a_working_directory_may_be_in_a_mount(calls: Calls, shore: Path) -> None:
    tmpfs = (Mount(target="/cache", type="tmpfs"),)
    assert await calls.lines("pwd; touch x", mounts=tmpfs, workdir="/cache/a/b") == ["/cache/a/b"]
    mounts = (bind(shore, "/data"),)
    assert await calls.lines("pwd", mounts=mounts, workdir="/data/sub") == ["/data/sub"]
    with pytest.raises(UsageError, match="workdir '/data/none' cannot be entered"):
        await calls.run("true", mounts=mounts, workdir="/data/none")


WRONG = {
    "no source": (Mount(target="/x"), "source None must be an absolute path"),
    "relative source": (Mount(target="/x", source="data"), "must be an absolute path"),
    "missing source": (Mount(target="/x", source="/no/such"), "'/no/such' does not exist"),
    "NUL in source": (Mount(target="/x", source="/tmp\0/x"), "does not exist"),
    "relative target": (Mount(target="x", type="tmpfs"), "mount 'x' must be an absolute path"),
    "NUL in target": (Mount(target="/x\0", type="tmpfs"), "must be an absolute path"),
    "root": (Mount(target="/", type="tmpfs"), "mount target '/'"),
    "root in disguise": (Mount(target="/tmp/..", type="tmpfs"), "is the image's own"),
    "proc": (Mount(target="/proc", type="tmpfs"), "/proc belongs to the sandbox itself"),
    "below proc": (Mount(target="/proc/sys/x", type="tmpfs"), "/proc belongs to the sandbox"),
    "proc in disguise": (Mount(target="/tmp/../proc/1", type="tmpfs"), "/proc belongs"),
    "dev": (Mount(target="/dev/shm", type="tmpfs"), "/dev belongs"),
    "sys": (Mount(target="/sys", type="tmpfs"), "/sys belongs"),
    "secrets": (Mount(target="/run/secrets", type="tmpfs"), "/run/secrets belongs"),
    "tmpfs with source": (Mount(target="/x", type="tmpfs", source="/tmp"), "has no source"),
    "size of a bind": (Mount(target="/x", source="/tmp", size=5), "size is for tmpfs"),
    "no size": (Mount(target="/x", type="tmpfs", size=0), "size 0 must be at least 1 byte"),
    "upon a file": (Mount(target="/etc/passwd", type="tmpfs"), "brings a directory, and .* a file"),
    "below a file": (Mount(target="/etc/passwd/x", type="tmpfs"), "'/etc/passwd' .* no directory"),
    "file upon a directory": (Mount(target="/etc", source="/etc/passwd"), "brings a file"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_mount_that_cannot_be_is_named_before_anything_starts(
    calls: Calls, case: str
) -> None:
    mount, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        await calls.run("true", mounts=(mount,))


async def test_two_mounts_on_one_place_are_refused(calls: Calls) -> None:
    mounts = (Mount(target="/x", type="tmpfs"), Mount(target="/y/../x", type="tmpfs"))
    with pytest.raises(UsageError, match="is given twice"):
        await calls.run("true", mounts=mounts)


async def test_nothing_is_mounted_through_a_link_of_another_mount(
    calls: Calls, shore: Path
) -> None:
    """Bubblewrap would follow it, outside of the sandbox."""
    (shore / "out").symlink_to("/etc")
    mounts = (bind(shore, "/data"), bind(shore / "file", "/data/out/passwd"))
    with pytest.raises(UsageError, match="must exist and be no symlink"):
        await calls.run("true", mounts=mounts)


async def test_a_source_that_went_away_since_the_last_call_is_named(
    calls: Calls, shore: Path
) -> None:
    from tests.support.local_calls import function_of

    from wherry import streams
    from wherry.models import Exit, Invocation

    function = function_of("true", mounts=(bind(shore / "sub", "/data"),))
    async with calls.engine.start(Invocation(function=function), streams.NOTHING) as container:
        assert (await streams.collect(container)).exit == Exit(0)
    (shore / "sub").rmdir()
    with pytest.raises(UsageError, match="sub' cannot be used: No such file"):
        async with calls.engine.start(Invocation(function=function), streams.NOTHING):
            raise AssertionError
