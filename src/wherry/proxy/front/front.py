"""What one tenant's clients connect to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wherry.proxy.front import answers
from wherry.proxy.front.body import Room
from wherry.proxy.front.connection import Connection
from wherry.proxy.front.leaving import Departures
from wherry.proxy.front.patience import Patience
from wherry.proxy.front.problems import Refusal

if TYPE_CHECKING:
    import socket

    from wherry.proxy.front.exchange import Handler
    from wherry.proxy.front.request import Peer
    from wherry.proxy.wires import Wire


class Front:
    """Serves the connections of one tenant with one handler."""

    def __init__(self, handler: Handler, *, patience: Patience | None = None) -> None:
        """Make it within a running loop; :meth:`stop` ends it."""
        self.handler = handler
        self.patience = patience or Patience()
        self.departures = Departures()
        self.room = Room(self.patience.bodies)
        self.turns = asyncio.Semaphore(self.patience.requests)
        """Of requests; a stream that has begun has had its turn."""
        self.streams = 0
        """Streams and hijacked connections that are open."""
        self.stopping = False
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        """In the order they came."""

    def __len__(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def serve(self, wire: Wire, *, watched: socket.socket, peer: Peer) -> None:
        """Serve one connection to its end, as one of the many that may be; closes it.

        Within a task of its own: :meth:`stop` cancels it.
        """
        if self.stopping or not self._has_room():
            await self._turn_away(wire)
            return
        connection = Connection(self, wire, watched=watched, peer=peer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.serve()
        finally:
            del self._connections[connection]

    def _has_room(self) -> bool:
        if len(self._connections) < self.patience.connections:
            return True
        for connection in self._connections:
            if connection.is_idle:
                connection.is_idle = False  # it ends now, and makes room once
                connection.cut()
                return True
        return False

    async def _turn_away(self, wire: Wire) -> None:
        try:
            async with asyncio.timeout(self.patience.linger):
                await wire.write(answers.refusal(Refusal(503, "too many connections")))
        except OSError:  # TimeoutError is one
            pass
        finally:
            wire.close()

    async def stop(self, *, grace: float) -> None:
        """Take no more requests, let those at work end within ``grace`` seconds, cut the rest."""
        self.stopping = True
        for connection in self._connections:
            if connection.is_idle:
                connection.cut()
        if tasks := set(self._connections.values()):
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self.departures.close()
