"""The remote engine: calls on a server of ``wherry remote``, with both directions live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from wherry.engines.closing import finish
from wherry.engines.remote.address import parse_address
from wherry.engines.remote.container import RemoteContainer
from wherry.engines.remote.link import Dialer
from wherry.engines.remote.portable import call_document, check, function_document
from wherry.engines.remote.requests import Requests
from wherry.errors import EngineUnavailable
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from wherry.engines.base import Stdin
    from wherry.engines.remote.address import Address
    from wherry.engines.remote.link import Link
    from wherry.models import Function, Invocation


class RemoteEngine:
    """Implements :class:`wherry.engines.base.Engine` on a server of ``wherry remote``.

    Images are the server's, pulled there; mounts are of its host, where its policy allows them.
    Files and secrets of this machine go along with the call; nothing can be collected.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._requests = Requests(Dialer(address), address=address)
        self._running: set[RemoteContainer] = set()
        self._closed = False

    @classmethod
    def connect(cls, spec: str) -> Self:
        """Make the engine of ``remote+https://TOKEN@HOST:PORT``; nothing is connected yet.

        Raises UsageError.
        """
        from wherry import config

        return cls(parse_address(spec, token=config.settings().token))

    async def prepare(self, function: Function) -> None:
        """Have the server pull the function's image when its policy says so."""
        self._check_open()
        await self._requests.prepare(function_document(function))

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[RemoteContainer]:
        """Start a fresh container there; see :class:`wherry.engines.base.Engine`."""
        self._check_open()
        check(invocation.function)
        has_stdin = stdin is not NOTHING
        document = await asyncio.to_thread(call_document, invocation, has_stdin=has_stdin)
        container = await self._begin(invocation.id, document)
        self._running.add(container)
        try:
            await container.started()
            if has_stdin:
                container.feed(stdin)
            yield container
        except BaseException:
            await finish(self._end(container))
            raise
        await finish(self._end(container))
        if error := container.take_source_error():
            raise error

    async def settled(self) -> None:
        """Wait until the server has removed the containers of calls that have ended."""
        await self._requests.settled()

    async def aclose(self) -> None:
        """Kill what still runs. Idempotent."""
        self._closed = True
        await asyncio.gather(*(container.kill() for container in tuple(self._running)))

    async def _begin(self, call: str, document: bytes) -> RemoteContainer:
        """Begin a call; who is cancelled meanwhile waits until it can be ended, and ends it."""
        beginning = asyncio.create_task(self._requests.call(document))
        try:
            link = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await finish(self._abandon(call, beginning))
            raise
        return RemoteContainer(call, link, requests=self._requests)

    async def _abandon(self, call: str, beginning: asyncio.Task[Link]) -> None:
        await asyncio.wait([beginning])
        if beginning.exception() is None:
            container = RemoteContainer(call, beginning.result(), requests=self._requests)
            await container.close()

    async def _end(self, container: RemoteContainer) -> None:
        self._running.discard(container)
        await container.close()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"engine {self.address} is closed")
