"""Files and secrets put into containers of the real local engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.local_calls import Calls, function_of

from wherry import streams
from wherry.errors import UsageError
from wherry.models import Exit, File, Invocation, Mount, Secret

SECRET = b"in the \0 hold\n"


async def test_a_file_comes_from_bytes_or_from_the_host_with_its_mode(
    calls: Calls, tmp_path: Path
) -> None:
    source, data = tmp_path / "source", b"\0\xff" * 50_000
    source.write_bytes(b"#!/bin/sh\necho ran\n")
    source.chmod(0o400)
    files = (
        File(target="/job/deep/in.bin", data=data),
        File(target="/job/run", source=str(source), mode=0o755),
        File(target="/job/private", data=b"", mode=0o600),
    )
    script = "/job/run; md5sum < /job/deep/in.bin; cd /job; stat -c '%a %s %U' run private deep"
    assert await calls.lines(script, files=files) == [
        "ran",
        f"{hashlib.md5(data).hexdigest()}  -",
        "755 19 root",
        "600 0 root",
        "755 60 root",
    ]


async def test_a_file_replaces_the_images_and_can_be_changed(calls: Calls) -> None:
    files = (File(target="/etc/passwd", data=b"one line\n"),)
    assert await calls.lines("cat /etc/passwd; echo more >> /etc/passwd", files=files) == [
        "one line"
    ]
    assert (await calls.lines("wc -l < /etc/passwd")) == ["2"]


async def test_a_file_goes_where_a_link_of_the_image_leads(calls: Calls) -> None:
    image = calls.image(
        "file-links",
        add={"real": 0o755, "link": "real", "real/at": "/etc/motd", "dangling": "/far/away"},
    )
    files = (
        File(target="/link/new", data=b"1\n"),
        File(target="/link/at", data=b"2\n"),
        File(target="/dangling", data=b"3\n"),
    )
    script = "cat /real/new /etc/motd /far/away"
    assert await calls.lines(script, image=image, files=files) == ["1", "2", "3"]


async def test_files_belong_to_the_programs_user(calls: Calls) -> None:
    files = (File(target="/in", data=b"mine\n", mode=0o400),)
    secrets = (Secret(name="key", value=SECRET),)
    script = "stat -c '%U %a' /in /run/secrets/key; cat /in"
    lines = await calls.lines(script, files=files, secrets=secrets, user="ferryman")
    assert lines == ["ferryman 400", "ferryman 400", "mine"]


async def test_a_file_can_be_put_into_a_tmpfs_but_not_into_a_bind_mount(
    calls: Calls, tmp_path: Path
) -> None:
    tmpfs, files = Mount(target="/data", type="tmpfs"), (File(target="/data/in", data=b"x\n"),)
    assert await calls.lines("cat /data/in", mounts=(tmpfs,), files=files) == ["x"]
    bind = Mount(target="/data", source=str(tmp_path), read_only=False)
    with pytest.raises(UsageError, match="lies in the mount '/data'"):
        await calls.run("true", mounts=(bind,), files=files)
    (tmp_path / "in").write_text("the host's")
    bind = Mount(target="/data/in", source=str(tmp_path / "in"), read_only=False)
    with pytest.raises(UsageError, match="'/data/in' is a mount as well"):
        await calls.run("true", mounts=(bind,), files=files)
    assert (tmp_path / "in").read_text() == "the host's"


WRONG = {
    "relative": (File(target="in", data=b""), "file 'in' must be an absolute path"),
    "upon a directory": (File(target="/etc", data=b""), "a directory there"),
    "root": (File(target="/", data=b""), "a directory there"),
    "below a file": (File(target="/etc/passwd/x", data=b""), "'/etc/passwd' .* is no directory"),
    "below proc": (File(target="/proc/x", data=b""), "/proc belongs"),
    "below secrets": (File(target="/run/secrets/x", data=b""), "/run/secrets belongs"),
    "neither": (File(target="/x"), "give either source or data"),
    "both": (File(target="/x", data=b"", source="/etc/passwd"), "give either source or data"),
    "no such source": (File(target="/x", source="/no/such"), "'/no/such' is no regular file"),
    "a directory": (File(target="/x", source="/etc"), "'/etc' is no regular file"),
    "a device": (File(target="/x", source="/dev/zero"), "is no regular file"),
    "NUL": (File(target="/x", source="/etc/\0"), "is no regular file"),
    "mode": (File(target="/x", data=b"", mode=0o10000), "mode 0o10000"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_file_that_cannot_be_is_named_before_anything_starts(
    calls: Calls, case: str
) -> None:
    file, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        await calls.run("true", files=(file,))


async def test_a_secret_is_a_file_that_only_its_user_reads_and_nobody_changes(
    calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "token").write_bytes(SECRET)
    secrets = (
        Secret(name="value", value=SECRET),
        Secret(name="path", path=str(tmp_path / "token")),
    )
    script = """
        cat /run/secrets/value /run/secrets/path
        stat -c '%a' /run/secrets/value /run/secrets/path
        awk '$2 == "/run/secrets" { print $3, $4 }' /proc/mounts
        touch /run/secrets/new /run/secrets/value 2>/dev/null
        rm -f /run/secrets/value 2>/dev/null
        ls /run/secrets"""
    result = await calls.sh(script, secrets=secrets)
    assert result.stdout.startswith(SECRET * 2 + b"400\n400\ntmpfs ro,")
    assert result.stdout.endswith(b"path\nvalue\n")


async def test_a_secret_is_in_no_environment_and_no_command_line(calls: Calls) -> None:
    secret = "swordfish-4711"
    function = function_of(
        "sh", "-c", "cat /proc/self/environ /proc/*/cmdline /proc/mounts; cat",
        secrets=(Secret(name="key", value=secret.encode()),),
    )  # fmt: skip
    assert secret not in repr(function)
    seen: list[str] = []

    async def while_it_runs() -> AsyncIterator[bytes]:
        for found in calls.engine.running():
            seen.extend(Path(f"/proc/{pid}/cmdline").read_text() for pid in found.pids)
        yield b"done"

    async with calls.engine.start(Invocation(function=function), while_it_runs()) as container:
        result = await streams.collect(container)
    assert result.exit == Exit(0)
    assert seen
    assert not [line for line in [*seen, result.stdout.decode()] if secret in line]


async def test_secrets_may_be_of_any_size_and_any_number(calls: Calls) -> None:
    secrets = tuple(Secret(name=f"s{n}", value=b"x" * n) for n in range(60))
    secrets += (Secret(name="large", value=bytes(5 << 20)),)
    script = "ls /run/secrets | wc -l; wc -c < /run/secrets/large; wc -c < /run/secrets/s59"
    assert await calls.lines(script, secrets=secrets) == ["61", str(5 << 20), "59"]


async def test_secrets_work_with_a_read_only_root_and_without_run(calls: Calls) -> None:
    image = calls.image("no-run", without=("run",))
    secrets = (Secret(name="key", value=b"open\n"),)
    for read_only in (False, True):
        lines = await calls.lines(
            "cat /run/secrets/key", image=image, secrets=secrets, read_only=read_only
        )
        assert lines == ["open"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../etc/passwd", "a\0--bind"])
async def test_a_secret_has_a_plain_name(calls: Calls, name: str) -> None:
    with pytest.raises(UsageError, match="must be a plain file name"):
        await calls.run("true", secrets=(Secret(name=name, value=b""),))


async def test_a_source_that_went_away_since_the_last_call_is_named(
    calls: Calls, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_text("here\n")
    function = function_of("cat", "/in", files=(File(target="/in", source=str(source)),))
    invocation = Invocation(function=function)
    async with calls.engine.start(invocation, streams.NOTHING) as container:
        assert (await streams.collect(container)).stdout == b"here\n"
    source.write_text("changed\n")
    async with calls.engine.start(invocation, streams.NOTHING) as container:
        assert (await streams.collect(container)).stdout == b"changed\n"
    source.unlink()
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        async with calls.engine.start(invocation, streams.NOTHING):
            raise AssertionError
