"""Servers that a row asks: ours with a function deployed, and a rival's."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE
from bench.place import WHERRY
from bench.timing import check

if TYPE_CHECKING:
    from pathlib import Path

    from bench.place import Place

_numbers = itertools.count()
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    pid: int
    port: int

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is kept, as a busy client has it."""
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        made.connect()
        assert made.sock is not None
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def deploy(self, name: str, *, command: Sequence[str], **labels: str) -> None:
        """Deploy a function of the image."""
        document = {
            "service": name,
            "image": IMAGE,
            "command": [*command],
            "labels": {f"wherry.{key}": value for key, value in labels.items()},
        }
        connection = self.connect()
        connection.request("POST", "/system/functions", json.dumps(document))
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        connection.close()


@asynccontextmanager
async def wherry_serve(place: Place) -> AsyncIterator[Server]:
    """Run `wherry serve` on a data directory of its own."""
    data = await _data(place)
    port = free_port()
    options = ("--no-auth", "--no-access-log", "--data-dir", str(data), "--grace", "1s")
    async with running(WHERRY, "serve", "--listen", f"127.0.0.1:{port}", *options) as pid:
        yield await _up(Server(pid, port))


@asynccontextmanager
async def cgi_server(place: Place) -> AsyncIterator[Server]:
    """Run the rival, which starts the image's program on this machine, in no container."""
    image = (await place.engine()).store.find(IMAGE)
    assert image is not None
    argv = [str(image.rootfs / "bin" / "busybox"), *COMMAND]
    port = free_port()
    async with running(sys.executable, "-m", "bench.cgi_server", str(port), *argv) as pid:
        yield await _up(Server(pid, port))


def asked(
    connection: http.client.HTTPConnection, path: str, *, body: bytes, expect: bytes
) -> float:
    """Ask once and return the milliseconds that it took."""
    began = time.perf_counter()
    connection.request("POST", path, body)
    answer = connection.getresponse().read()
    took = time.perf_counter() - began
    check(answer, expect)
    return took * 1000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _data(place: Place) -> Path:
    from wherry.engines.local.engine import LocalEngine
    from wherry.images.rootfs_import import import_rootfs

    data = place.directory / f"served-{next(_numbers)}"
    engine = LocalEngine.connect(f"local:{data}")
    archive = await place.archive()
    await asyncio.to_thread(import_rootfs, engine.store, archive, reference=IMAGE)
    return data


@asynccontextmanager
async def running(*words: str) -> AsyncIterator[int]:
    """Run a program for the block; yield its process id."""
    process = await asyncio.create_subprocess_exec(
        *words, env=dict(os.environ), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _up(server: Server) -> Server:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            server.connect().close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return server
