"""What a function asks for, seen from inside of its container on a real Docker engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.docker_harness import ids_of

from wherry import streams
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import (
    ProgramNotExecutable,
    ProgramNotFound,
    StartError,
    Unsupported,
    UsageError,
)
from wherry.functions.declare import declared
from wherry.functions.model import Deployment
from wherry.functions.secrets import SecretStore
from wherry.models import Collect, Exit, File, Function, Invocation, Limits, Mount, Output, Secret

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

MIB = 1024 * 1024
pytestmark = pytest.mark.root


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine.connect(dockerd.unix)
    yield engine
    await engine.aclose()
    assert ids_of(dockerd) == set()


async def run(engine: DockerEngine, script: str, **fields: Any) -> streams.Collected:
    function = Function(name="f", image="busybox", command=("sh", "-c", script), **fields)
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        return await streams.collect(container)


async def out(engine: DockerEngine, script: str, **fields: Any) -> str:
    result = await run(engine, script, **fields)
    assert (result.exit, result.stderr) == (Exit(0), b"")
    return result.stdout.decode()


async def test_a_container_has_no_network_no_capability_and_no_way_to_more(
    engine: DockerEngine,
) -> None:
    said = await out(
        engine, "ls /sys/class/net; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status"
    )
    assert said.split() == [
        "lo", "CapEff:", "0000000000000000", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1",
    ]  # fmt: skip


@pytest.mark.parametrize(("network", "device"), [("private", "eth0"), ("host", "docker0")])
async def test_a_network_is_had_by_name(engine: DockerEngine, network: Any, device: str) -> None:
    assert device in (await out(engine, "ip -o link", network=network))


async def test_plain_fields_are_seen_inside(engine: DockerEngine) -> None:
    said = await out(
        engine,
        "id -u; id -g; pwd; hostname; echo $A",
        user="1000:2000",
        workdir="/var/tmp",
        hostname="ferry",
        env={"A": "b c"},
    )
    assert said.splitlines() == ["1000", "2000", "/var/tmp", "ferry", "b c"]


async def test_the_entrypoint_is_replaced_and_takes_the_arguments(engine: DockerEngine) -> None:
    function = Function(name="f", image="busybox", entrypoint=("echo", "-n"))
    invocation = Invocation(function=function, args=("a", "b"))
    async with engine.start(invocation, streams.NOTHING) as container:
        assert (await streams.collect(container)).stdout == b"a b"


async def test_a_read_only_root_leaves_tmp_and_run_to_whom_they_belong(
    engine: DockerEngine,
) -> None:
    script = "touch {} && echo could; touch /etc/x 2>/dev/null || echo could not"
    for user, paths in (("0", "/tmp/x /run/x"), ("1000", "/tmp/x")):
        said = await out(engine, script.format(paths), read_only=True, user=user)
        assert said == "could\ncould not\n"


async def test_the_limit_of_writes_holds_below_a_read_only_root(engine: DockerEngine) -> None:
    script = "cd {}; dd if=/dev/zero of=x bs=64k count=64 2>/dev/null; wc -c <x"
    wrote = [
        int(await out(engine, script.format(path), read_only=True, limits=Limits(tmp=MIB)))
        for path in ("/tmp", "/run", "/dev/shm")
    ]
    assert 0 < sum(wrote) <= MIB


async def test_a_limit_of_writes_that_the_storage_cannot_keep_is_refused(
    engine: DockerEngine,
) -> None:
    with pytest.raises(Unsupported, match=r"limits\.tmp"):
        await run(engine, "true", limits=Limits(tmp=MIB))


async def test_too_many_cpus_are_refused_in_the_engines_words(engine: DockerEngine) -> None:
    with pytest.raises(UsageError, match="CPUs"):
        await run(engine, "true", limits=Limits(cpus=4096))


async def test_limits_reach_the_control_groups(engine: DockerEngine) -> None:
    script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    if not Path("/sys/fs/cgroup/pids").is_dir():
        script = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max"
    said = await out(engine, script, limits=Limits(pids=7, memory=16 * MIB))
    assert said.split() == ["7", str(16 * MIB)]


async def test_a_directory_of_the_host_is_mounted(engine: DockerEngine, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from outside")
    read_only = Mount(target="/data", source=str(tmp_path))
    script = "cat /data/in; touch /data/out 2>/dev/null || echo :no"
    assert await out(engine, script, mounts=(read_only,)) == "from outside:no\n"
    writable = Mount(target="/data", source=str(tmp_path), read_only=False)
    await out(engine, "echo -n back >/data/out", mounts=(writable,))
    assert (tmp_path / "out").read_text() == "back"


async def test_a_directory_that_does_not_exist_is_named(engine: DockerEngine) -> None:
    with pytest.raises(UsageError, match="/nowhere/at/all"):
        await run(engine, "true", mounts=(Mount(target="/data", source="/nowhere/at/all"),))


async def test_a_tmpfs_is_as_large_as_it_says(engine: DockerEngine) -> None:
    mount = Mount(target="/scratch", type="tmpfs", size=MIB)
    script = "cd /scratch; dd if=/dev/zero of=x bs=64k count=64 2>/dev/null; wc -c <x"
    assert int(await out(engine, script, mounts=(mount,), user="1000")) == MIB


@pytest.mark.parametrize("read_only", [False, True])
async def test_secrets_are_files_and_leave_no_trace(
    engine: DockerEngine, dockerd: Dockerd, tmp_path: Path, read_only: bool
) -> None:
    (tmp_path / "key").write_bytes(b"from a file")
    function = Function(
        name="f",
        image="busybox",
        command=("sh", "-c", "cat /run/secrets/value /run/secrets/key; sleep 60"),
        secrets=(
            Secret(name="value", value=b"hu5h,"),
            Secret(name="key", path=str(tmp_path / "key")),
        ),
        read_only=read_only,
        user="1000",
    )
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        read = b""
        async for event in container:
            assert isinstance(event, Output)
            read += event.data
            if len(read) == len(b"hu5h,from a file"):
                break
        assert read == b"hu5h,from a file"
        known = dockerd.request("GET", f"/containers/{container.name}/json")
        assert b"hu5h" not in known
    assert b'"Volumes":[]' in dockerd.request("GET", "/volumes").replace(b"null", b"[]")


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_deployed_functions_secrets_are_where_it_looks_for_them(
    engine: DockerEngine, tmp_path: Path, read_only: bool
) -> None:
    store = SecretStore(tmp_path)
    await store.create("key", b"hush\n")
    deployment = Deployment(
        service="f", image="busybox", secrets=["key"], read_only_root_filesystem=read_only,
        command=["cat", "/var/openfaas/secrets/key", "/run/secrets/key"],
        labels={"wherry.user": "1000"},
    )  # fmt: skip
    function = declared(deployment, secrets=store, created=0, source="api").function
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        result = await streams.collect(container)
    assert (result.stdout, result.stderr, result.exit) == (b"hush\nhush\n", b"", Exit(0))


async def test_files_are_put_in_before_the_start(engine: DockerEngine, tmp_path: Path) -> None:
    large = os.urandom(3 * MIB + 5)
    (tmp_path / "large").write_bytes(large)
    files: tuple[File, ...] = (
        File(target="/opt/new/deep/hello.sh", data=b"#!/bin/sh\necho hello\n", mode=0o755),
        File(target="/large", source=str(tmp_path / "large")),
        File(target="/" + "long" * 20 + "/ünï", data=b"named"),
    )
    script = f"/opt/new/deep/hello.sh; wc -c </large; cat /{'long' * 20}/ünï"
    said = await out(engine, script, files=files, user="1000")
    assert said == f"hello\n{len(large)}\nnamed"
    files = (File(target="/tmp/x", data=b"in tmp"),)
    script = "cat /tmp/x; touch /tmp/y && echo , and more"
    assert await out(engine, script, files=files, read_only=True, user="1000") == (
        "in tmp, and more\n"
    )


async def test_a_file_that_is_missing_here_is_named_and_nothing_starts(
    engine: DockerEngine,
) -> None:
    with pytest.raises(UsageError, match="/nowhere/file"):
        await run(engine, "true", files=(File(target="/x", source="/nowhere/file"),))


@pytest.mark.parametrize("read_only", [False, True])
async def test_what_the_program_left_is_collected_without_links(
    engine: DockerEngine, tmp_path: Path, read_only: bool
) -> None:
    script = (
        "mkdir -p /tmp/out/deep && cd /tmp/out && echo -n one >deep/one && echo -n two >two &&"
        " ln -s /etc/passwd link && ln -s .. deep/up && mkfifo pipe && chmod 700 two; exit 3"
    )
    to = tmp_path / "got"
    collect = (
        Collect(path="/tmp/out", to=str(to)),
        Collect(path="/etc/passwd", to=str(to)),
        Collect(path="/tmp/nothing", to=str(to)),
    )
    result = await run(engine, script, collect=collect, read_only=read_only)
    assert result.exit == Exit(3)
    found = {str(path.relative_to(to)) for path in to.rglob("*")}
    assert found == {"deep", "deep/one", "two", "passwd"}
    assert (to / "deep" / "one").read_text() == "one"
    assert (to / "two").stat().st_mode & 0o777 == 0o755


async def test_collecting_never_follows_a_link_out_here(
    engine: DockerEngine, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    to = tmp_path / "got"
    to.mkdir()
    (to / "file").symlink_to(elsewhere / "file")
    await run(engine, "echo theirs >/file", collect=(Collect(path="/file", to=str(to)),))
    assert (elsewhere / "file").read_text() == "mine"
    assert (to / "file").read_text() == "theirs\n"
    (to / "deep").symlink_to(elsewhere)
    collect = (Collect(path="/out", to=str(to)),)
    with pytest.raises(UsageError, match="/out"):
        await run(engine, "mkdir -p /out/deep; echo theirs >/out/deep/file", collect=collect)
    assert (elsewhere / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("caps", "words"), [({"max_files": 3}, "max_files"), ({"max_bytes": 1000}, "max_bytes")]
)
async def test_collecting_more_than_allowed_is_refused(
    engine: DockerEngine, tmp_path: Path, caps: dict[str, int], words: str
) -> None:
    script = "mkdir /out; for n in 1 2 3 4; do head -c 300 /dev/zero >/out/$n; done"
    collect = Collect(path="/out", to=str(tmp_path / "got"), **caps)
    with pytest.raises(UsageError, match=words):
        await run(engine, script, collect=(collect,))


async def test_a_program_that_cannot_be_executed_is_told_from_one_that_is_missing(
    engine: DockerEngine,
) -> None:
    for command, error in (
        (("/etc/passwd",), ProgramNotExecutable),
        (("nowhere",), ProgramNotFound),
        (("/no/where",), ProgramNotFound),
    ):
        function = Function(name="f", image="busybox", command=command)
        with pytest.raises(error, match=command[0]):
            async with engine.start(Invocation(function=function), streams.NOTHING) as container:
                await streams.collect(container)


async def test_a_program_that_only_says_what_the_init_would_say_has_run(
    engine: DockerEngine,
) -> None:
    said = "[FATAL tini (7)] exec x failed: No such file or directory"
    result = await run(engine, f"echo '{said}' >&2; exit 5")
    assert (result.exit, result.stderr.decode()) == (Exit(5), said + "\n")
    result = await run(engine, f"echo out; echo '{said} and more' >&2; echo x >&2; exit 127")
    assert result.exit == Exit(127)


async def test_a_user_that_the_image_lacks_is_named(engine: DockerEngine) -> None:
    with pytest.raises(StartError, match="nosuchuser"):
        await run(engine, "true", user="nosuchuser")


async def test_a_fast_container_is_never_missed(engine: DockerEngine) -> None:
    for _ in range(10):
        assert (await run(engine, "echo x")).stdout == b"x\n"
