"""What is left to do when a call is over: waiting for the kernel, off the caller's time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.local.container import LocalContainer

_log = logging.getLogger(__name__)
_MOST = 32
"""Containers that may be taken apart at one time; the next call waits for one of them."""


class Endings:
    """Takes apart containers in which nothing runs any more.

    What is left of them is bubblewrap's own two processes, which are ending, and a control group:
    nothing that could do anything. It takes the kernel a millisecond or two.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def make_room(self, id: str) -> None:  # noqa: A002
        """Wait while too many are being taken apart, or one that had the same id."""
        while len(self._tasks) >= _MOST or id in self._tasks.values():
            if not (tasks := self._pending()):
                return
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def begin(self, container: LocalContainer) -> None:
        """Close a container that was stopped."""
        task = asyncio.create_task(container.close())
        self._tasks[task] = container.id
        task.add_done_callback(self._note)

    async def over(self) -> None:
        """Wait until nothing is left of any container, in time that is bounded by its parts."""
        while tasks := self._pending():
            await asyncio.wait(tasks)

    def _pending(self) -> list[asyncio.Task[None]]:
        """Return those of this event loop: an earlier one has ended its own, or never will."""
        loop = asyncio.get_running_loop()
        return [task for task in self._tasks if not task.done() and task.get_loop() is loop]

    def _note(self, task: asyncio.Task[None]) -> None:
        container = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cleaning up failed", exc_info=error, extra={"container": container})
