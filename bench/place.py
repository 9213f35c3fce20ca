"""What the rows share: an image, a client, a Docker engine; made when first wanted."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from bench.broker import private_broker
from bench.calls import IMAGE
from bench.docker import Docker, private_engine
from bench.harness import Missing
from tests.support.busybox import rootfs_tar

if TYPE_CHECKING:
    from tests.support.rabbitmq import Rabbit

    from wherry import AsyncClient
    from wherry.engines.docker.engine import DockerEngine
    from wherry.engines.local.engine import LocalEngine

Made = TypeVar("Made")

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

    async def another_engine(self) -> LocalEngine:
        """Return an engine of the same images that is the caller's own to close."""
        from wherry.engines.local.engine import LocalEngine

        await self.engine()
        return LocalEngine.connect(f"local:{self.data}")

    async def client(self) -> AsyncClient:
        """Return a client of that engine."""
        return await self._once("client", self._client)

    async def docker(self) -> Docker:
        """Return a private Docker engine that has the image."""
        return await self._once("docker", self._docker)

    async def docker_engine(self) -> DockerEngine:
        """Return a client of the private Docker engine that is the caller's own to close."""
        from wherry.engines.docker.engine import DockerEngine

        return DockerEngine.connect((await self.docker()).address, environment={})

    async def broker(self) -> Rabbit:
        """Return a private RabbitMQ node."""
        return await self._once("broker", self._broker)

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
        if shutil.which("busybox") is None:
            raise Missing("busybox is not installed (Debian: busybox-static)")
        path = self.directory / "busybox.tar"
        path.write_bytes(await asyncio.to_thread(rootfs_tar))
        return path

    async def _engine(self) -> LocalEngine:
        from wherry.engines.local.engine import LocalEngine
        from wherry.images.rootfs_import import import_rootfs

        archive = await self.archive()
        engine = LocalEngine.connect(f"local:{self.data}")
        await asyncio.to_thread(import_rootfs, engine.store, archive, reference=IMAGE)
        return engine

    async def _client(self) -> AsyncClient:
        from wherry import AsyncClient

        return await self._stack.enter_async_context(AsyncClient(await self.engine()))

    async def _broker(self) -> Rabbit:
        return await self._stack.enter_async_context(private_broker())

    async def _docker(self) -> Docker:
        return await self._stack.enter_async_context(private_engine())


@contextmanager
def scratch(place: Place) -> Iterator[Path]:
    """Make a directory for one measurement."""
    directory = Path(tempfile.mkdtemp(dir=place.directory))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
