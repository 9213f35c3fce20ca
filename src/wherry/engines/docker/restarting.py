"""A stopped container, started once more and read to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import failing
from wherry.engines.docker.frames import Frames
from wherry.errors import Conflict
from wherry.models import Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event
    from wherry.engines.docker.client import DockerClient
    from wherry.engines.docker.duplex import Duplex
    from wherry.engines.docker.management import Management


class Restarted:
    """Its events: output of both streams, then one Exit."""

    def __init__(
        self, client: DockerClient, id_: str, *, stream: tuple[Duplex, bytes], tty: bool
    ) -> None:
        self._client = client
        self._id = id_
        self._stream, self._carried = stream
        self._tty = tty
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        frames = Frames()
        data = self._carried or await self._read()
        while data:
            for output in [Output("stdout", data)] if self._tty else frames.feed(data):
                yield output
            data = await self._read()
        frames.finish()
        path = f"/containers/{self._id}/wait"
        answer = await self._client.call("POST", path, query={"condition": "not-running"})
        self.ended = True
        yield exit_from_code(int(answer["StatusCode"]))

    async def _read(self) -> bytes:
        with failing(f"reading the output of {self._id}", address=self._client.address):
            return await self._stream.read()


@asynccontextmanager
async def restarted(
    client: DockerClient, container: str, *, management: Management
) -> AsyncIterator[Restarted]:
    """Start a container that exists; leaving the block before its end kills it, and keeps it.

    Raises :class:`Conflict` for one that runs already.
    """
    details = await management.inspect(container)
    if details.state not in ("created", "exited"):
        raise Conflict(f"container {container!r} is {details.state}; it has to be stopped before")
    query = {"stream": True, "stdout": True, "stderr": True}
    path = f"/containers/{details.id}"
    request = await client.request("POST", f"{path}/attach", query=query, upgrade=True)
    stream = await client.hijack(request)
    running = Restarted(client, details.id, stream=stream, tty=details.tty)
    try:
        await client.call("POST", f"{path}/start")
        yield running
    finally:
        stream[0].close()
        if not running.ended:
            await management.kill(details.id)
        await stream[0].wait_closed()
