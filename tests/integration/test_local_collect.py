"""What programs leave behind, copied out of the real local engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.local_calls import Calls

from wherry import streams
from wherry.errors import UsageError
from wherry.models import Collect, Exit, Mount
from wherry.wrappers.deadline import Deadline

TREE = """
    mkdir -p /out/a/b /out/empty
    echo 1 > /out/one; echo 2 > /out/a/two; echo 3 > /out/a/b/three
    printf '#!/bin/sh\\n' > /out/run; chmod 755 /out/run; chmod 600 /out/one
"""


def tree(top: Path) -> dict[str, str | None]:
    """Return what lies below a directory: the text of files, None for directories."""
    return {
        str(path.relative_to(top)): None if path.is_dir() else path.read_text()
        for path in sorted(top.rglob("*"))
    }


async def collected(calls: Calls, script: str, to: Path, path: str = "/out", **fields: object):  # type: ignore[no-untyped-def]  # noqa: ANN201
    limits = {name: fields.pop(name) for name in ("max_bytes", "max_files") if name in fields}
    collect = Collect(path=path, to=str(to), **limits)  # type: ignore[arg-type]
    result = await calls.sh(script, collect=(collect,), **fields)
    return result, tree(to)


async def test_a_directory_is_copied_with_all_below_it(calls: Calls, tmp_path: Path) -> None:
    to = tmp_path / "made" / "when" / "missing"
    result, found = await collected(calls, TREE + "exit 3", to)
    assert result.exit == Exit(3)
    assert found == {
        "a": None, "a/b": None, "a/b/three": "3\n", "a/two": "2\n", "empty": None,
        "one": "1\n", "run": "#!/bin/sh\n",
    }  # fmt: skip
    modes = {name: (to / name).stat().st_mode & 0o777 for name in ("run", "one", "a")}
    assert modes == {"run": 0o755, "one": 0o644, "a": 0o755}
    assert {path.stat().st_uid for path in to.rglob("*")} == {os.getuid()}


async def test_a_file_is_copied_under_its_own_name(calls: Calls, tmp_path: Path) -> None:
    _, found = await collected(calls, TREE, tmp_path, "/out/a/two")
    assert found == {"two": "2\n"}


async def test_several_places_are_collected_at_once(calls: Calls, tmp_path: Path) -> None:
    wanted = (
        Collect(path="/out/a", to=str(tmp_path / "a")),
        Collect(path="/etc/passwd", to=str(tmp_path / "etc")),
        Collect(path="/tmp", to=str(tmp_path / "tmp")),
    )
    await calls.sh(TREE + "echo t > /tmp/t; echo n > /etc/passwd", collect=wanted)
    assert tree(tmp_path) == {
        "a": None, "a/b": None, "a/b/three": "3\n", "a/two": "2\n",
        "etc": None, "etc/passwd": "n\n", "tmp": None, "tmp/t": "t\n",
    }  # fmt: skip


async def test_a_path_that_is_not_there_is_no_error(calls: Calls, tmp_path: Path) -> None:
    result, found = await collected(calls, "true", tmp_path, "/no/such/place")
    assert (result.exit, found) == (Exit(0), {})


@pytest.fixture
def layered(calls: Calls) -> str:
    add: dict[str, bytes | str | int] = {
        "data": 0o755, "data/kept": b"kept\n", "data/gone": b"gone\n", "data/both": b"image\n",
        "data/dir": 0o755, "data/dir/x": b"x\n", "data/dir/y": b"y\n",
        "data/emptied": 0o755, "data/emptied/z": b"z\n", "data/was-file": b"file\n",
        "data/was-dir": 0o755, "data/was-dir/w": b"w\n", "link": "data",
    }  # fmt: skip
    return calls.image("layered", add=add)


async def test_the_images_own_files_are_merged_with_what_the_program_did(
    calls: Calls, layered: str, tmp_path: Path
) -> None:
    script = """
        cd /data
        echo changed > both; echo new > dir/new; rm gone dir/x
        rm -r emptied; mkdir emptied; echo fresh > emptied/fresh
        rm was-file; mkdir was-file; echo in > was-file/in
        rm -r was-dir; echo now a file > was-dir"""
    _, found = await collected(calls, script, tmp_path, "/data", image=layered)
    assert found == {
        "both": "changed\n", "kept": "kept\n", "dir": None, "dir/new": "new\n", "dir/y": "y\n",
        "emptied": None, "emptied/fresh": "fresh\n", "was-file": None, "was-file/in": "in\n",
        "was-dir": "now a file\n",
    }  # fmt: skip


async def test_the_images_files_are_collected_as_they_are_when_nothing_was_done(
    calls: Calls, layered: str, tmp_path: Path
) -> None:
    _, found = await collected(calls, "true", tmp_path, "/link/dir", image=layered)
    assert found == {"x": "x\n", "y": "y\n"}


@pytest.mark.parametrize("path", ["/data/gone", "/data/emptied/z", "/data/emptied"])
async def test_what_the_program_removed_is_not_collected(
    calls: Calls, layered: str, tmp_path: Path, path: str
) -> None:
    script = "rm -r /data/gone /data/emptied; mkdir /data/emptied"
    _, found = await collected(calls, script, tmp_path, path, image=layered)
    assert found == {}


async def test_a_directory_that_was_moved_is_collected_where_it_is_now(
    calls: Calls, layered: str, tmp_path: Path
) -> None:
    _, found = await collected(calls, "mv /data/dir /data/moved", tmp_path, "/data", image=layered)
    assert {name for name in found if "/" in name} >= {"moved/x", "moved/y"}
    assert not [name for name in found if name.startswith("dir")]


async def test_links_pipes_and_sockets_stay_inside(calls: Calls, tmp_path: Path) -> None:
    script = """
        mkdir -p /out/sub; cd /out
        ln -s /etc/passwd link; ln -s / root; ln -s sub dirlink; mkfifo pipe
        nc -l -p 1 local:/out/socket 2>/dev/null & echo 1 > file; ln file hard"""
    _, found = await collected(calls, script, tmp_path)
    assert found == {"file": "1\n", "hard": "1\n", "sub": None}


@pytest.mark.parametrize("path", ["/out", "/out/sub", "/out/sub/passwd"])
async def test_a_path_that_the_program_made_a_link_leads_nowhere(
    calls: Calls, tmp_path: Path, path: str
) -> None:
    script = "ln -s /etc /out 2>/dev/null || true; test -d /out/sub || { rm /out; mkdir /out; ln -s /etc /out/sub; }"  # noqa: E501
    _, found = await collected(calls, script, tmp_path, path)
    assert found == {}


async def test_links_on_the_host_are_replaced_and_never_followed(
    calls: Calls, tmp_path: Path
) -> None:
    precious, to = tmp_path / "precious", tmp_path / "to"
    precious.write_text("mine\n")
    to.mkdir()
    (to / "one").symlink_to(precious)
    (to / "run").symlink_to(tmp_path / "nowhere")
    os.link(precious, to / "hard")
    await collected(calls, TREE + "echo theirs > /out/hard", to)
    assert precious.read_text() == "mine\n"
    assert not (tmp_path / "nowhere").exists()
    assert not (to / "one").is_symlink()
    assert ((to / "one").read_text(), (to / "hard").read_text()) == ("1\n", "theirs\n")


async def test_a_link_on_the_host_in_the_place_of_a_directory_is_refused(
    calls: Calls, tmp_path: Path
) -> None:
    elsewhere, to = tmp_path / "elsewhere", tmp_path / "to"
    elsewhere.mkdir()
    to.mkdir()
    (to / "a").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="collect '/out' to"):
        await collected(calls, TREE, to)
    assert list(elsewhere.iterdir()) == []


async def test_a_destination_that_is_a_file_is_named(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "to").write_text("a file")
    with pytest.raises(UsageError, match=r"collect '/out' to '.*/to'"):
        await collected(calls, TREE, tmp_path / "to")


async def test_too_many_bytes_are_refused(calls: Calls, tmp_path: Path) -> None:
    script = "mkdir /out; dd if=/dev/zero of=/out/large bs=1M count=3 2>/dev/null"
    with pytest.raises(UsageError, match="more than 2000000 bytes"):
        await collected(calls, script, tmp_path, max_bytes=2_000_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2_000_000
    _, found = await collected(calls, script, tmp_path, max_bytes=3 << 20)
    assert set(found) == {"large"}


async def test_a_sparse_file_counts_as_large_as_it_looks(calls: Calls, tmp_path: Path) -> None:
    script = "mkdir /out; truncate -s 1024G /out/x"
    with pytest.raises(UsageError, match="more than 268435456 bytes"):
        await collected(calls, script, tmp_path)


async def test_too_many_files_are_refused(calls: Calls, tmp_path: Path) -> None:
    script = "mkdir /out; i=0; while [ $i -lt 12 ]; do mkdir /out/$i; i=$((i+1)); done"
    with pytest.raises(UsageError, match=r"more than 11 files \(max_files\)"):
        await collected(calls, script, tmp_path, max_files=11)
    _, found = await collected(calls, script, tmp_path, max_files=12)
    assert len(found) == 12


async def test_directories_that_never_end_are_refused(calls: Calls, tmp_path: Path) -> None:
    script = "mkdir /out; cd /out; i=0; while [ $i -lt 500 ]; do mkdir d; cd d; i=$((i+1)); done"
    with pytest.raises(UsageError, match="nested more than"):
        await collected(calls, script, tmp_path)


async def test_what_its_owner_cannot_read_is_read_by_root_and_named_otherwise(
    calls: Calls, tmp_path: Path
) -> None:
    script = "mkdir -p /out/locked; echo 1 > /out/locked/file; chmod 0 /out/locked"
    if os.getuid() == 0:
        _, found = await collected(calls, script, tmp_path)
        assert found == {"locked": None, "locked/file": "1\n"}
        return
    with pytest.raises(UsageError, match=r"collect '/out' to .*Permission denied"):
        await collected(calls, script, tmp_path)
    with pytest.raises(UsageError, match=r"collect '/out/locked/file' to .*Permission denied"):
        await collected(calls, script, tmp_path, "/out/locked/file")


async def test_odd_names_are_kept(calls: Calls, tmp_path: Path) -> None:
    script = "mkdir /out; cd /out; touch -- '-rf' ' ' 'new\nline' \"$(printf 'b\\377d')\" '*'"
    result = await calls.sh(script, collect=(Collect(path="/out", to=str(tmp_path)),))
    assert result.exit == Exit(0)
    names = {os.fsencode(path.name) for path in tmp_path.iterdir()}
    assert names == {b"-rf", b" ", b"new\nline", b"b\xffd", b"*"}


async def test_collected_however_the_program_ended(calls: Calls, tmp_path: Path) -> None:
    limited = Calls(calls.engine, calls.data, around=Deadline(calls.engine))
    result, found = await collected(limited, TREE + "sleep 60", tmp_path / "t", timeout=2.0)
    assert (result.exit.reason, len(found)) == ("timeout", 7)
    result, found = await collected(calls, TREE + "kill -9 $$", tmp_path / "s")
    assert (result.exit, len(found)) == (Exit(137, "signal"), 7)
    collect = (Collect(path="/out", to=str(tmp_path / "k")),)
    script = TREE + "echo ready; sleep 60"
    async with calls.start("sh", "-c", script, collect=collect) as container:
        async for _ in container:
            await container.kill()
    assert len(tree(tmp_path / "k")) == 7


async def test_nothing_is_collected_when_the_caller_leaves_before_the_end(
    calls: Calls, tmp_path: Path
) -> None:
    collect = (Collect(path="/out", to=str(tmp_path / "to")),)
    async with calls.start("sh", "-c", TREE + "echo ready; sleep 60", collect=collect) as container:
        await anext(aiter(container))
    assert not (tmp_path / "to").exists()


async def test_a_mount_is_not_collected_and_that_is_said(calls: Calls, tmp_path: Path) -> None:
    mounts = (Mount(target="/out", type="tmpfs"),)
    for path in ("/out", "/out/sub", "/"):
        collect = (Collect(path=path, to=str(tmp_path)),)
        with pytest.raises(UsageError, match="'/out' is a mount"):
            await calls.run("true", mounts=mounts, collect=collect)


async def test_what_is_written_to_tmp_of_a_read_only_root_is_collected(
    calls: Calls, tmp_path: Path
) -> None:
    script = "echo 1 > /tmp/x"
    _, found = await collected(calls, script, tmp_path, "/tmp", read_only=True)
    assert found == {"x": "1\n"}


async def test_a_place_that_the_sandbox_has_from_the_kernel_is_refused(
    calls: Calls, tmp_path: Path
) -> None:
    for path in ("/proc/self", "/dev/shm", "/run/secrets/key", "/tmp/../proc"):
        with pytest.raises(UsageError, match="belongs to the sandbox itself"):
            await collected(calls, "true", tmp_path, path)


async def test_collecting_gives_nothing_of_secrets_or_the_kernels_files(
    calls: Calls, tmp_path: Path
) -> None:
    from wherry.models import Secret

    collect = (Collect(path="/run", to=str(tmp_path)),)
    secrets = (Secret(name="key", value=b"hidden"),)
    await calls.sh("touch /run/x", collect=collect, secrets=secrets)
    assert tree(tmp_path) == {"secrets": None, "x": ""}


async def test_descriptors_are_given_back_after_collecting(calls: Calls, tmp_path: Path) -> None:
    async def once() -> None:
        collect = (Collect(path="/out", to=str(tmp_path)),)
        async with calls.start("sh", "-c", TREE, collect=collect) as container:
            await streams.collect(container)
        await calls.engine.settled()

    await once()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        await once()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
