"""A container in the foreground: created, attached to, started, read to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from wherry.engines.docker.complaint import start_error
from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.frames import Frames
from wherry.errors import EngineError
from wherry.models import exit_from_code

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Response
    from wherry.engines.docker.duplex import Duplex
    from wherry.models import Exit, Output

_CLEANING = 30.0
"""Seconds in which a container has to be ended when nobody waits for it any more."""
_ANSWER = 64 * 1024
_T = TypeVar("_T")


class Attached:
    """Its events: output of both streams, then one Exit."""

    def __init__(
        self, client: DockerClient, id_: str, *, stream: tuple[Duplex, bytes], waiting: Response
    ) -> None:
        self._client = client
        self._id = id_
        self._stream, self._carried = stream
        self._waiting = waiting
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[Output | Exit]:
        frames = Frames()
        data = self._carried or await self._read()
        while data:
            for output in frames.feed(data):
                yield output
            data = await self._read()
        frames.finish()
        code = await self._code()
        self.ended = True
        yield exit_from_code(code)

    async def _read(self) -> bytes:
        with failing(f"reading the output of {self._id}", address=self._client.address):
            return await self._stream.read()

    async def _code(self) -> int:
        what = f"waiting for the end of {self._id}"
        with failing(what, address=self._client.address):
            body = await self._waiting.connection.read(_ANSWER)
        return code_of(body, what=what)


def code_of(body: bytes, *, what: str) -> int:
    """Return the exit code that an engine's answer to ``wait`` tells."""
    answer: dict[str, Any] = json.loads(body)
    if error := answer.get("Error"):
        raise EngineError(f"{what} failed: {error}")
    return int(answer["StatusCode"])


@asynccontextmanager
async def attached(
    client: DockerClient, id_: str, *, removes_itself: bool
) -> AsyncIterator[Attached]:
    """Start a container that was created; leaving the block before its end kills it."""
    path = f"/containers/{id_}"
    stream = await _attach(client, path)
    waiting: Response | None = None
    running: Attached | None = None
    try:
        condition = "removed" if removes_itself else "next-exit"
        request = await client.request("POST", f"{path}/wait", query={"condition": condition})
        waiting = await client.send(request)
        await started(client, path)
        running = Attached(client, id_, stream=stream, waiting=waiting)
        yield running
    finally:
        stream[0].close()
        if waiting is not None:
            client.release(waiting.connection)
        if running is not None and not running.ended:
            with suppress(EngineError):  # it has been told to somebody already, or nobody is left
                await finished(killed(client, path))
        await stream[0].wait_closed()


async def _attach(client: DockerClient, path: str) -> tuple[Duplex, bytes]:
    query = {"stream": True, "stdout": True, "stderr": True}
    request = await client.request("POST", f"{path}/attach", query=query, upgrade=True)
    return await client.hijack(request)


async def started(client: DockerClient, path: str) -> None:
    """Start a container; raises :class:`wherry.errors.StartError` for no such program."""
    try:
        await client.call("POST", f"{path}/start")
    except Refused as error:
        if failure := start_error(error.reason):
            raise failure from error
        raise


async def killed(client: DockerClient, path: str) -> None:
    """Kill a container; harmless if it has ended or is gone."""
    try:
        await client.call("POST", f"{path}/kill")
    except Refused as error:
        if error.status not in (404, 409):
            raise


async def finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Do a piece of work to its end, in bounded time, also when nobody waits for it any more."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_CLEANING)
        raise
