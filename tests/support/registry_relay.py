"""A registry of the tests, reached from the network of the tests' own Docker engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd
    from tests.support.registry import RegistryServer


@asynccontextmanager
async def reachable(daemon: Dockerd, registry: RegistryServer) -> AsyncIterator[None]:
    """Let the daemon, whose network has no way out, reach a registry under its own name."""
    host, _, port = registry.host.partition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, outer), _copy(inner, writer))

    async with await asyncio.start_server(relay, sock=daemon.listen(int(port))):
        yield
    await asyncio.sleep(0.05)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
