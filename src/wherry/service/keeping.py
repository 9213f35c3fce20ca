"""The kept containers of all functions whose programs are servers (``mode = "http"``)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.service.door import Doors
from wherry.service.kept import Kept
from wherry.service.patience import Patience

if TYPE_CHECKING:
    import socket

    from wherry.client import AsyncClient
    from wherry.functions.model import Deployed
    from wherry.service.last_words import Wrote

_log = logging.getLogger(__name__)


class Keeping:
    """Keeps one container for each function that is asked for, and none for the others.

    A function that may go to zero has one from its first request until ``idle`` seconds after
    its last one. One that may not has it from :meth:`changed` or :meth:`restored` on.
    """

    def __init__(
        self,
        client: AsyncClient,
        directory: Path,
        *,
        idle: float = 300.0,
        wrote: Wrote | None = None,
        patience: Patience | None = None,
    ) -> None:
        """``directory`` is for sockets, in the engine's data directory (see ``Doors``)."""
        self._client = client
        self._doors = Doors(directory)
        self._idle = idle
        self._wrote = wrote
        self._patience = patience or Patience()
        self._kept: dict[str, Kept] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self, deployed: Deployed) -> AbstractAsyncContextManager[socket.socket]:
        """Give a connection to a function's program; see :meth:`Kept.connection`."""
        return self._of(deployed).connection()

    def is_up(self, deployed: Deployed) -> bool:
        """Whether a function's container accepts connections now."""
        kept = self._kept.get(deployed.qualified)
        return kept is not None and kept.is_up

    def restarts(self, deployed: Deployed) -> int:
        """How often a function's container ended although nobody had asked it to."""
        kept = self._kept.get(deployed.qualified)
        return kept.restarts if kept is not None else 0

    def changed(self, qualified: str, deployed: Deployed | None) -> None:
        """Follow a deployment or a removal: what runs serves its requests and ends."""
        known = self._kept.get(qualified)
        if known is not None and not (deployed is not None and _is_same(known, deployed)):
            del self._kept[qualified]
            self._spawn(known.retire())
        if deployed is not None:
            self.restored(deployed)

    def restored(self, deployed: Deployed) -> None:
        """Start what is to run without being asked for."""
        if deployed.settings.mode == "http" and self._stays(deployed):
            self._of(deployed).begin()

    async def aclose(self) -> None:
        """Ask all programs to stop, and end their containers. Idempotent."""
        kept, self._kept = self._kept, {}
        try:
            await asyncio.gather(*(each.aclose() for each in kept.values()), *self._tasks)
        finally:
            self._doors.close()

    def _of(self, deployed: Deployed) -> Kept:
        known = self._kept.get(deployed.qualified)
        if known is not None and _is_same(known, deployed):
            return known
        if known is not None:
            self._spawn(known.retire())
        kept = Kept(
            deployed,
            client=self._client,
            doors=self._doors,
            idle=None if self._stays(deployed) else self._idle,
            wrote=self._wrote,
            patience=self._patience,
        )
        self._kept[deployed.qualified] = kept
        return kept

    @staticmethod
    def _stays(deployed: Deployed) -> bool:
        return not deployed.settings.scale_to_zero and deployed.replicas > 0

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_same(kept: Kept, deployed: Deployed) -> bool:
    """Whether this is the deployment that was, at most scaled; the same one again starts anew."""
    known = kept.deployed
    same = known.deployment is deployed.deployment
    return same and (known.replicas > 0) == (deployed.replicas > 0)
