"""Where the battery plays: an engine, its images, and a host with bait on it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.probes.images import Node, Recipe, build

from wherry.engines.local.engine import LocalEngine
from wherry.engines.local.settings import SANDBOX_ID, Defaults, LocalSettings
from wherry.models import Exit, Function, Invocation, Limits, Output

if TYPE_CHECKING:
    from wherry.engines.base import Container

MIB = 1 << 20
PATIENCE = 30.0
_DEFAULTS = Defaults(memory=64 * MIB, tmp=16 * MIB, pids=64)
"""Small, so that the machine is safe should a wall be missing."""


@dataclass(frozen=True)
class Said:
    """What a container said and how it ended."""

    out: str
    err: str
    exit: Exit

    @property
    def everything(self) -> str:
        return self.out + self.err


@dataclass
class Stage:
    """The engine of one identity, and the bait on its host."""

    engine: LocalEngine
    home: Path
    probes: bytes
    linker: bytes | None
    bait: dict[str, str] = field(default_factory=dict)
    _images: int = 0

    @property
    def host(self) -> Path:
        """A directory that the sandbox's host user may change: only the container is in the way."""
        return self.home / "host"

    @property
    def token(self) -> str:
        """What the bait's file holds."""
        return (self.host / "bait").read_text()

    def image(self, *nodes: Node, **config: Any) -> str:
        """Make an image with more in it; return its name."""
        self._images += 1
        name = f"bad{self._images}"
        recipe = Recipe(nodes=nodes, config=config)
        build(self.engine.store, name, probes=self.probes, recipe=recipe)
        return name

    def invocation(self, *command: str, image: str = "busybox", **fields: Any) -> Invocation:
        fields.setdefault("limits", Limits(timeout=PATIENCE))
        env = {**self.bait, **fields.pop("env", {})}
        known = {"id": fields.pop("id")} if "id" in fields else {}
        function = Function(name="probe", image=image, command=command, env=env, **fields)
        return Invocation(function=function, **known)

    async def call(self, *command: str, data: bytes = b"", **fields: Any) -> Said:
        """Run a command to its end."""
        invocation = self.invocation(*command, **fields)
        async with (
            asyncio.timeout(PATIENCE),
            self.engine.start(invocation, _once(data)) as container,
        ):
            return await _said(container)

    async def call_ready(self, *command: str, **fields: Any) -> Said:
        """Run a command to its end in a sandbox that was made ready for it."""
        invocation = self.invocation(*command, **fields)
        async with (
            asyncio.timeout(PATIENCE),
            self.engine.reserve(invocation.function) as slot,
            slot.start(invocation, _once(b"")) as container,
        ):
            return await _said(container)

    @asynccontextmanager
    async def running(self, *command: str, **fields: Any) -> AsyncIterator[Any]:
        """Run a command that says `ready` and stays, for as long as the block."""
        invocation = self.invocation(*command, **fields)
        async with self.engine.start(invocation, _never()) as container:
            async with asyncio.timeout(PATIENCE):
                async for event in container:
                    assert isinstance(event, Output), f"{command} ended: {event}"
                    if b"ready" in event.data:
                        break
            yield container

    def snapshot(self) -> dict[str, tuple[int, int, bytes]]:
        """Return all that is to be seen of the host's directory."""
        found = {}
        for path in sorted(self.host.rglob("*")):
            there = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.host))] = (there.st_mode, there.st_mtime_ns, data)
        return found

    def directory(self, name: str) -> Path:
        """Make an empty directory that the sandbox's host user owns."""
        path = self.home / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o755)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Make a file or directory the sandbox's host user's."""
        if self.engine.settings.sandbox is not None:
            os.chown(path, *self.engine.settings.sandbox, follow_symlinks=False)


@asynccontextmanager
async def staged(home: Path, *, probes: bytes, linker: bytes | None) -> AsyncIterator[Stage]:
    """Set the stage: bait, engine, images and a neighbouring container; and clear it away."""
    sandbox = (SANDBOX_ID, SANDBOX_ID) if os.getuid() == 0 else None
    settings = LocalSettings(data=home / "data", sandbox=sandbox, defaults=_DEFAULTS)
    stage = Stage(LocalEngine(settings), home, probes, linker)
    stage.directory("host")
    bait = stage.host / "bait"
    bait.write_text(secrets.token_hex(16))
    stage.give(bait)
    build(stage.engine.store, "busybox", probes=probes, recipe=Recipe())
    neighbour = f"neighbour-{secrets.token_hex(4)}"
    with _process(sandbox) as pid, _sockets() as (port, name), _shared_memory() as key:
        stage.bait |= {"BAIT_FILE": str(bait), "BAIT_PID": str(pid), "BAIT_PORT": str(port)}
        stage.bait |= {"BAIT_SOCKET": name, "BAIT_KEY": str(key), "NEIGHBOUR_SOCKET": neighbour}
        async with stage.running("/probes", "neighbour", neighbour):
            yield stage
    await stage.engine.aclose()


@contextmanager
def _process(sandbox: tuple[int, int] | None) -> Iterator[int]:
    """A process that the sandbox's host user may signal, if only it sees it."""
    uid, gid = sandbox or (None, None)
    groups: list[int] | None = [] if sandbox else None
    process = subprocess.Popen(["sleep", "300"], user=uid, group=gid, extra_groups=groups)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def _sockets() -> Iterator[tuple[int, str]]:
    name = f"bait-{secrets.token_hex(4)}"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(f"\0{name}")
        unix.listen()
        yield tcp.getsockname()[1], name


@contextmanager
def _shared_memory() -> Iterator[int]:
    """A System V segment that anybody may attach, and a POSIX message queue."""
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x57000000 + os.getpid() % 0xFFFF
    segment = libc.shmget(key, 4096, 0o1000 | 0o666)
    queue = libc.mq_open(b"/wherry-bait", os.O_RDWR | os.O_CREAT, 0o666, None)
    try:
        yield key
    finally:
        libc.shmctl(segment, 0, None)
        if queue >= 0:
            with suppress(OSError):
                os.close(queue)
            libc.mq_unlink(b"/wherry-bait")


async def _said(container: Container) -> Said:
    streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    end = Exit(None)
    async for event in container:
        if isinstance(event, Output):
            streams[event.stream].append(event.data)
        else:
            end = event
    out, err = (b"".join(parts).decode(errors="replace") for parts in streams.values())
    return Said(out, err, end)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data


async def _never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""
