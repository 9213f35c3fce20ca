"""``wherry remote`` in a process of its own, for tests that are coroutines or kill it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.remote_server import TOKEN

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


@dataclass(frozen=True)
class RemoteProcess:
    process: asyncio.subprocess.Process
    port: int
    said: list[str] = field(default_factory=list)
    """The lines of its stderr so far."""


@asynccontextmanager
async def remote_process(dockerd: Dockerd, *options: str) -> AsyncIterator[RemoteProcess]:
    """Serve an engine on a free port of the loopback, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wherry", "remote", "--host", "127.0.0.1", "--port", "0",
        "--low_burst", "0", "--engine", dockerd.unix, *options,
        env={**os.environ, "DS_TOKEN": TOKEN},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[str] = []
    listening: asyncio.Task[None] | None = None
    try:
        port = await _port(process.stderr, said)
        listening = asyncio.create_task(_listen(process.stderr, said))
        yield RemoteProcess(process, port, said)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if listening is not None:
            await listening


async def _port(stderr: asyncio.StreamReader, said: list[str]) -> int:
    async with asyncio.timeout(60):
        while line := (await stderr.readline()).decode():
            said.append(line)
            if line.startswith("ready "):
                return int(line.strip().rpartition(":")[2])
    raise AssertionError("".join(said))


async def _listen(stderr: asyncio.StreamReader, said: list[str]) -> None:
    """Read what it says: a pipe that is full would stop it."""
    while line := (await stderr.readline()).decode():
        said.append(line)
