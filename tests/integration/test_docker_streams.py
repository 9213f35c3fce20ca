"""A hundred mebibytes both ways at once on every transport, and nothing piles up."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.docker_harness import ids_of
from tests.support.require import require

from wherry import streams
from wherry.engines.docker.engine import DockerEngine
from wherry.models import CHUNK, Exit, Function, Invocation, Output

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

MIB = 1024 * 1024
SIZE = 100 * MIB
pytestmark = pytest.mark.root


@pytest.fixture(params=["unix", "tcp", "tls", "ssh"])
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DockerEngine]:
    daemon: Dockerd = request.getfixturevalue(
        "dockerd_tls" if request.param == "tls" else "dockerd"
    )
    if request.param == "ssh":
        put_ssh_in_path(tmp_path, monkeypatch, daemon)
        spec = "docker+ssh://ferryman@far.example"
    else:
        spec = daemon.unix if request.param == "unix" else daemon.tcp
    engine = DockerEngine.connect(spec)
    yield engine
    await engine.aclose()
    assert ids_of(daemon) == set()


def put_ssh_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, daemon: Dockerd) -> None:
    """Put an ``ssh`` in the path that checks its arguments and runs the command right here."""
    require("docker")
    program = tmp_path / "ssh"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *" -T -- ferryman@far.example docker system dial-stdio") ;;\n'
        '*) echo "unexpected: $*" >&2; exit 255;; esac\n'
        f"exec docker --host unix://{daemon.socket} system dial-stdio\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert shutil.which("ssh") == str(program)


def resident() -> int:
    """Return the bytes of memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(120)
async def test_100_mib_pass_both_ways_at_once_and_memory_stays_flat(engine: DockerEngine) -> None:
    sent, received = hashlib.blake2b(), hashlib.blake2b()
    block = os.urandom(16 * CHUNK)

    async def source() -> AsyncIterator[bytes]:
        for number in range(SIZE // CHUNK):
            chunk = block[(number % 16) * CHUNK :][:CHUNK]
            sent.update(chunk)
            yield chunk

    function = Function(name="f", image="busybox", command=("cat",))
    await engine.prepare(function)
    gc.collect()
    before, most, ended = resident(), 0, None
    async with engine.start(Invocation(function=function), source()) as container:
        async for event in container:
            if isinstance(event, Output):
                assert len(event.data) <= CHUNK
                received.update(event.data)
                most = max(most, resident())
            else:
                ended = event
    assert ended == Exit(0)
    assert sent.digest() == received.digest()
    grown = (most - before) / MIB
    print(f"memory grew by {grown:.1f} MiB", file=sys.stderr)
    assert grown < 16


async def test_the_end_of_stdin_is_a_half_close_on_every_transport(engine: DockerEngine) -> None:
    script = "cat; sleep 0.2; echo after; echo late >&2; exit 3"
    function = Function(name="f", image="busybox", command=("sh", "-c", script))
    stdin = streams.source("no newline ")
    async with engine.start(Invocation(function=function), stdin) as container:
        result = await streams.collect(container)
    assert result.stdout == b"no newline after\n"
    assert (result.stderr, result.exit) == (b"late\n", Exit(3))


async def test_a_silent_source_does_not_hold_a_program_that_ends(engine: DockerEngine) -> None:
    import asyncio

    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    function = Function(name="f", image="busybox", command=("head", "-c", "1"))
    async with asyncio.timeout(20):
        async with engine.start(Invocation(function=function), silent()) as container:
            assert (await streams.collect(container)).stdout == b"x"
