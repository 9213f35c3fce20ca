"""Exit codes from the engine's events: known before it has taken a container apart.

The engine says ``die`` when a container's process and its output have ended, and answers
``wait`` when its mounts are gone too and its record is on disk, some 10 ms later. Events may be
dropped by a busy engine, so whoever expects one also waits.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from wherry.engines.docker.connection import Request
from wherry.engines.docker.failures import failing
from wherry.engines.docker.lines import json_lines
from wherry.engines.docker.owner import OWNER, this_process
from wherry.engines.docker.values import Happening
from wherry.errors import EngineError

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Response
    from wherry.engines.docker.connection import Connection

_PING = Request(method="GET", target="/_ping")


class Death:
    """The end of one container, when an event tells it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Cancelled when it cannot be known."""

    async def told_before(self, wait: asyncio.Task[int]) -> int | None:
        """Return the exit code, None if it is not known before the answer to the wait.

        Call it when the output has ended: that was not the end of the engine, then.
        """
        await asyncio.wait([wait, self.code], return_when=asyncio.FIRST_COMPLETED)
        if wait.done() or self.code.cancelled() or not await self._watch.is_alive():
            return None
        return self.code.result()

    def forget(self) -> None:
        """Expect it no longer."""
        self.code.cancel()


class Watch:
    """One stream of events, of one engine process.

    It has a second connection to that process, by which it can be told that it still lives:
    when an output stream has ended, that looks the same whether the container or the engine's
    process has ended.
    """

    def __init__(self, client: DockerClient, events: Response, witness: Connection) -> None:
        self._client = client
        self._witness: Connection | None = witness
        self._asking = asyncio.Lock()
        self._expected: dict[str, asyncio.Future[int]] = {}
        self._following = asyncio.create_task(self._follow(events))

    @property
    def is_on(self) -> bool:
        """Whether anything can still come."""
        return not self._following.done()

    def expect(self, id_: str) -> Death:
        """Return the death of a container that is not started yet, by the engine's own id."""
        death = Death(self)
        if not self.is_on:
            death.forget()
            return death
        self._expected[id_] = death.code
        death.code.add_done_callback(lambda _: self._expected.pop(id_, None))
        return death

    async def is_alive(self) -> bool:
        """Ask the engine process itself."""
        async with self._asking:
            if (witness := self._witness) is None:
                return False
            self._witness = None
            try:
                await _ping(self._client, witness)
            except EngineError:
                return False
            self._witness = witness
            return True

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        self._following.cancel()
        await asyncio.wait([self._following])

    async def _follow(self, events: Response) -> None:
        try:
            with suppress(EngineError), failing("events", address=self._client.address):
                async for item in json_lines(events.stream()):
                    self._tell(Happening.parse(item))
        finally:
            for code in tuple(self._expected.values()):
                code.cancel()
            self._client.release(events.connection)
            if self._witness is not None:
                self._client.release(self._witness)
                self._witness = None

    def _tell(self, happening: Happening) -> None:
        code, number = self._expected.get(happening.id), happening.attributes.get("exitCode", "")
        if happening.action == "die" and code is not None and number.isdigit() and not code.done():
            code.set_result(int(number))


class Deaths:
    """The watch that is on."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client
        self._watch: Watch | None = None
        self._beginning = asyncio.Lock()

    async def watch(self) -> Watch:
        """Return it when it has begun: what ends from now on is told."""
        async with self._beginning:
            if self._watch is None or not self._watch.is_on:
                self._watch = await self._begin()
            return self._watch

    async def aclose(self) -> None:
        """Stop watching. Idempotent."""
        if self._watch is not None:
            await self._watch.aclose()

    async def _begin(self) -> Watch:
        filters = {"type": ["container"], "event": ["die"], "label": [f"{OWNER}={this_process()}"]}
        request = await self._client.request(
            "GET", "/events", query={"filters": json.dumps(filters)}
        )
        witness = await _ping(self._client)
        try:
            events = await self._client.send(request)
        except BaseException:
            self._client.release(witness)
            raise
        return Watch(self._client, events, witness)


async def _ping(client: DockerClient, connection: Connection | None = None) -> Connection:
    """Ask for a sign of life; returns the connection it came on, ready for the next."""
    response = await client.send(_PING, connection=connection)
    try:
        with failing("GET /_ping", address=client.address):
            await response.read()
            if not response.connection.renew():
                raise EOFError("the engine keeps no connection open")
    except BaseException:
        client.release(response.connection)
        raise
    return response.connection
