"""A scoped socket in front of the private Docker engine, and clients of both that only measure."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.docker import Docker
from bench.place import WHERRY
from bench.served import running
from bench.timing import WrongAnswer

if TYPE_CHECKING:
    from bench.place import Place

_PATIENCE = 30.0
STREAMS = 600


@dataclass(frozen=True, slots=True)
class Scoped:
    """One tenant's socket, and the engine behind it."""

    pid: int
    """Of `wherry proxy`."""
    socket: Path
    engine: Path
    """The engine's own socket."""
    ours: Docker
    theirs: Docker


@asynccontextmanager
async def scoped(place: Place) -> AsyncIterator[Scoped]:
    """Run `wherry proxy` for one tenant; in the end nothing of it is left."""
    theirs = await place.docker()
    path = place.directory / "scoped.sock"
    words = (
        *("proxy", "--tenant", "bench", "--socket", str(path), "--remove", "--image", "busybox"),
        *("--engine", theirs.address, "--limit", f"streams:{STREAMS}"),
        *("--data-dir", str(place.directory / "scoped")),
    )
    async with running(WHERRY, *words) as pid:
        await _until(path.exists)
        engine = Path(theirs.address.removeprefix("docker://"))
        ours = Docker((theirs.command[0], "--host", f"unix://{path}"), f"docker://{path}")
        yield Scoped(pid, path, engine, ours, theirs)


async def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("wherry proxy has not begun")
        await asyncio.sleep(0.02)


class Asking:
    """A kept connection to a Docker socket, with nothing between it and the clock."""

    def __init__(self, path: Path) -> None:
        self.raw = socket.socket(socket.AF_UNIX)
        self.raw.settimeout(_PATIENCE)
        self.raw.connect(str(path))

    def head(self, target: str) -> bytes:
        """Ask, and return what came with the head of the answer."""
        self.raw.sendall(f"GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        if not data.startswith(b"HTTP/1.1 200 "):
            raise WrongAnswer(f"GET {target}: {data[:200]!r}")
        return data

    def ms(self, target: str) -> float:
        """Ask, and return the milliseconds until the whole answer is here."""
        began = time.perf_counter()
        head, _, body = self.head(target).partition(b"\r\n\r\n")
        length = _length(head)
        while not _whole(body, length):
            body += self._more()
        return (time.perf_counter() - began) * 1000

    def _more(self) -> bytes:
        data = self.raw.recv(1 << 16)
        if not data:
            raise WrongAnswer("the connection has ended")
        return data


def _length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return None


def _whole(body: bytes, length: int | None) -> bool:
    return body.endswith(b"0\r\n\r\n") if length is None else len(body) >= length


@asynccontextmanager
async def followers(path: Path, target: str, *, number: int) -> AsyncIterator[None]:
    """Hold as many streams open as are asked for, each with its head received."""
    with ExitStack() as held:
        for _ in range(number):
            asking = Asking(path)
            held.callback(asking.raw.close)
            await asyncio.to_thread(asking.head, target)
        yield
