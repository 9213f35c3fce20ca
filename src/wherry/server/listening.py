"""Taking connections, and stopping within a bound."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.server import descriptors
from wherry.server.http1.connection import Connection
from wherry.server.http1.departures import Departures
from wherry.server.http1.host import Host, Patience

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from wherry.server.sockets import Listener

_log = logging.getLogger(__name__)
_CLEANING = 15.0
"""Seconds that calls have to be ended in when there is no more time for them."""


class Listening:
    """An application on some sockets; an ``async with``-less pair of start and stop."""

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[Listener],
        *,
        tls: ssl.SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._listeners = list(listeners)
        self._tls = tls
        self._servers: list[asyncio.Server] = []
        self.host = Host(
            app=app,
            departures=Departures(),
            patience=patience or Patience(),
            most=descriptors.for_connections(),
        )

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return [listener.address for listener in self._listeners]

    async def start(self) -> None:
        """Take connections from now on."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            server = await loop.create_server(
                lambda: Connection(self.host, secure=self._tls is not None),
                sock=listener.socket,
                ssl=self._tls,
                ssl_handshake_timeout=self.host.patience.headers if self._tls else None,
                backlog=2048,
            )
            self._servers.append(server)

    async def stop(self, *, grace: float, at_once: asyncio.Event | None = None) -> None:
        """Take no more connections, let what is answered end, then end what is left.

        ``at_once``, when it is set, ends the grace.
        """
        self.host.stopping = True
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.host.connections):
            connection.stop()
        await self._drain(grace=grace, at_once=at_once)
        left = list(self.host.tasks)
        if left:
            _log.warning("calls are ended: the server stops", extra={"calls": len(left)})
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CLEANING)
        for connection in tuple(self.host.connections):
            connection.abort()
        self.host.departures.close()

    async def _drain(self, *, grace: float, at_once: asyncio.Event | None) -> None:
        hurry = asyncio.create_task((at_once or asyncio.Event()).wait())
        try:
            async with asyncio.timeout(grace):
                while self.host.tasks and not hurry.done():
                    await asyncio.wait(
                        {*self.host.tasks, hurry}, return_when=asyncio.FIRST_COMPLETED
                    )
        except TimeoutError:
            return
        finally:
            hurry.cancel()
