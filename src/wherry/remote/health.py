"""``GET /healthz``: whether this server can do anything, for who balances load."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.remote.answers import document

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient
    from wherry.remote.model import Answer, Caller

_BELIEVED = 1.0
_PATIENCE = 5.0


class Health:
    """Asks the engine, at most once in a second however many ask us."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client
        self._asking: asyncio.Task[bool] | None = None
        self._begun = 0.0

    async def page(self, caller: Caller | None) -> Answer:
        """Answer 200 when the engine answers, and 503 when it does not."""
        del caller
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now - self._begun > _BELIEVED):
            self._begun = now
            self._asking = asyncio.create_task(self._answers())
        if await asyncio.shield(self._asking):
            return document({"status": "ok"})
        return document({"status": "the engine does not answer"}, status=503)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._client.call("GET", "/version")
        except (EngineError, TimeoutError):
            return False
        return True
