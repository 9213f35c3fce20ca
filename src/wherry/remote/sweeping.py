"""Removing a container whose engine failed under it, as soon as the engine answers again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import Refused
from wherry.errors import EngineError

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient

_PAUSES = (0.2, 0.4, 0.8, 1.6, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)
"""Seconds between one attempt and the next; what is left then is found by the next start."""
_log = logging.getLogger(__name__)


class Sweeping:
    """Removals that go on behind everybody's back."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, name: str) -> None:
        """Remove a container, unless that has been done."""
        task = asyncio.create_task(self._sweep(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until every removal is done, or given up."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def aclose(self) -> None:
        """Give up what is not done. Idempotent."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.settled()

    async def _sweep(self, name: str) -> None:
        query = {"force": True, "v": True}
        for pause in _PAUSES:
            try:
                await self._client.call("DELETE", f"/containers/{name}", query=query)
            except Refused as error:
                if error.status == 404:
                    return
            except EngineError:
                pass  # it does not answer yet
            else:
                return
            await asyncio.sleep(pause)
        _log.warning("a container could not be removed", extra={"container": name})
