"""Signals that we are sent: forwarded to the program, then enforced."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.base import Container

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FORWARDED = (*ENDING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
GRACE = 10.0
"""Seconds that a program gets to end after the first signal."""
_LAST = 1.0
"""Seconds that we wait for a reader who does not take the output of a killed program."""


class Signals:
    """What we were sent, and what becomes of it.

    Before a container runs, an ending signal cancels the task that is to start it. After that
    it is the program's; the second one, or no end within the grace time, kills.
    """

    def __init__(self, *, stop_signal: int | None = None, grace: float = GRACE) -> None:
        self.ending: int | None = None
        """The first signal that was to end us."""
        self._stop_signal = stop_signal
        self._grace = grace
        self._pending: asyncio.Queue[int] = asyncio.Queue()
        self._container: Container | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        loop = asyncio.get_running_loop()
        for number in _FORWARDED:
            # What our caller ignores, as nohup does, stays ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._receive, number)

    @asynccontextmanager
    async def forwarded(self, container: Container) -> AsyncIterator[None]:
        """Hand signals on to a container while the block runs."""
        self._container = container
        forwarding = asyncio.create_task(self._forward(container))
        try:
            yield
        finally:
            forwarding.cancel()
            await asyncio.wait([forwarding])
            if not forwarding.cancelled():
                forwarding.result()

    def _receive(self, number: int) -> None:
        if number in ENDING and self.ending is None:
            self.ending = number
        if self._container is not None:
            self._pending.put_nowait(number)
        elif number in ENDING:
            self._task.cancel()

    async def _forward(self, container: Container) -> None:
        deadline = None
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    number = await self._pending.get()
            except TimeoutError:
                break
            if number in ENDING:
                if deadline is not None:
                    break
                deadline = asyncio.get_running_loop().time() + self._grace
            await container.kill(self._inside(number))
        await container.kill()
        await asyncio.sleep(_LAST)
        self._task.cancel()

    def _inside(self, number: int) -> int:
        return self._stop_signal or number if number == signal.SIGTERM else number
