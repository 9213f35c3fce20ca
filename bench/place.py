"""What the rows share: an image, a client, a Docker engine; made when first wanted."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from bench.docker import Docker, private_engine
from bench.harness import Missing

if TYPE_CHECKING:
    from wherry import AsyncClient
    from wherry.engines.local.engine import LocalEngine

Made = TypeVar("Made")
IMAGE = "busybox:latest"
WHERRY = str(Path(sys.executable).parent / "wherry")


class Place:
    """Everything that is slow to set up, set up once; the block's end takes it down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._stack = AsyncExitStack()
        self._made: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._made.clear()
        await self._stack.aclose()

    async def archive(self) -> Path:
        """Return a root file system as a tar file, the same for every engine."""
        return await self._once("archive", self._archive)

    async def engine(self) -> LocalEngine:
        """Return a local engine that has the image."""
        return await self._once("engine", self._engine)

    async def client(self) -> AsyncClient:
        """Return a client of that engine."""
        return await self._once("client", self._client)

    async def docker(self) -> Docker:
        """Return a private Docker engine that has the image."""
        return await self._once("docker", self._docker)

    async def _once(self, name: str, make: Callable[[], Awaitable[Made]]) -> Made:
        """Return what ``make`` made the first time; what is missing stays missing."""
        if name not in self._made:
            try:
                self._made[name] = await make()
            except Missing as error:
                self._made[name] = error
        found = self._made[name]
        if isinstance(found, Missing):
            raise found
        return cast("Made", found)

    async def _archive(self) -> Path:
        path = self.directory / "busybox.tar"
        await asyncio.to_thread(write_root_file_system, path)
        return path

    async def _engine(self) -> LocalEngine:
        from wherry.engines.local.engine import LocalEngine

        command = [WHERRY, "image", "import", "--cmd", "sh", str(await self.archive()), IMAGE]
        env = {"WHERRY_DATA_DIR": str(self.data), "PATH": "/usr/bin:/bin"}
        await asyncio.to_thread(subprocess.run, command, check=True, env=env, capture_output=True)
        return LocalEngine.connect(f"local:{self.data}")

    async def _client(self) -> AsyncClient:
        from wherry import AsyncClient

        return await self._stack.enter_async_context(AsyncClient(await self.engine()))

    async def _docker(self) -> Docker:
        docker = await self._stack.enter_async_context(private_engine(self.directory))
        await asyncio.to_thread(docker.load, await self.archive(), IMAGE)
        return docker


def write_root_file_system(path: Path) -> None:
    """Write a tar file with a static busybox under all of its names."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Missing("busybox is not installed (Debian: busybox-static)")
    if b"interpreter" in subprocess.run(["ldd", busybox], capture_output=True, check=False).stdout:
        raise Missing(f"{busybox} is not static (Debian: busybox-static)")
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    with tarfile.open(path, "w") as tar:
        for directory in ("bin", "tmp", "etc", "proc", "dev", "root"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox", filter=_as_root)
        for name in names.stdout.split():
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        users = b"root:x:0:0:root:/root:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(users)
        tar.addfile(entry, io.BytesIO(users))


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755
    return entry
