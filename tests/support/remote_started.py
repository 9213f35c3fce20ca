"""``wherry remote`` in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.remote_server import TOKEN

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


@dataclass(frozen=True)
class RemoteProcess:
    process: asyncio.subprocess.Process
    port: int


@asynccontextmanager
async def remote_process(dockerd: Dockerd, *options: str) -> AsyncIterator[RemoteProcess]:
    """Serve an engine on a free port of the loopback, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wherry", "remote", "--host", "127.0.0.1", "--port", "0",
        "--low_burst", "0", "--engine", dockerd.unix, *options,
        env={**os.environ, "DS_TOKEN": TOKEN},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield RemoteProcess(process, await _port(process))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    said = []
    async with asyncio.timeout(60):
        while line := (await process.stderr.readline()).decode():
            said.append(line)
            if line.startswith("ready "):
                return int(line.strip().rpartition(":")[2])
    raise AssertionError("".join(said))
