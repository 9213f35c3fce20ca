"""One more program in a running container (``docker exec``)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self

from wherry.engines.docker.failures import TRANSPORT_ERRORS, failing
from wherry.engines.docker.frames import Frames
from wherry.engines.feeding import Feeder
from wherry.errors import EngineError
from wherry.models import Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin
    from wherry.engines.docker.client import DockerClient
    from wherry.engines.docker.duplex import Duplex


class Execution:
    """Its events: output of both streams, then one Exit. The engine has no way to kill it."""

    def __init__(
        self, client: DockerClient, id_: str, *, stream: tuple[Duplex, bytes], tty: bool = False
    ) -> None:
        self._client = client
        self._id = id_
        self._tty = tty
        self._stream, self._carried = stream
        self._feeder: Feeder | None = None

    @classmethod
    async def begin(cls, client: DockerClient, id_: str, *, tty: bool = False) -> Self:
        """Start it, attached; with a terminal, all that it writes is stdout."""
        request = await client.request(
            "POST",
            f"/exec/{id_}/start",
            body=json.dumps({"Detach": False, "Tty": tty}).encode(),
            is_json=True,
            upgrade=True,
        )
        return cls(client, id_, stream=await client.hijack(request), tty=tty)

    async def __aiter__(self) -> AsyncIterator[Event]:
        frames = Frames()
        data = self._carried or await self._read()
        while data:
            for output in [Output("stdout", data)] if self._tty else frames.feed(data):
                yield output
            data = await self._read()
        if self._feeder is not None and self._feeder.error is not None:
            raise self._feeder.error
        frames.finish()
        answer = await self._client.call("GET", f"/exec/{self._id}/json")
        if answer.get("Running") or answer.get("ExitCode") is None:
            raise EngineError(f"engine {self._client.address}: exec {self._id} was cut off")
        yield exit_from_code(int(answer["ExitCode"]))

    async def _read(self) -> bytes:
        with failing(f"reading the output of exec {self._id}", address=self._client.address):
            return await self._stream.read()

    def feed(self, source: Stdin) -> None:
        """Start to feed it from a source."""
        self._feeder = Feeder(source, write=self._write, end=self._end, failed=self._failed)

    async def _write(self, data: bytes) -> bool:
        try:
            await self._stream.write(data)
        except TRANSPORT_ERRORS:
            return False
        return True

    async def _end(self) -> None:
        with contextlib.suppress(*TRANSPORT_ERRORS):
            await self._stream.end()

    async def _failed(self) -> None:
        self._stream.close()

    async def close(self) -> None:
        """Drop the connection."""
        self._stream.close()
        if self._feeder is not None:
            await self._feeder.stop()
        await self._stream.wait_closed()
