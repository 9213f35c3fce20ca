"""When the events of a container are pulled, with several readers that may or may not come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.models import CHUNK

if TYPE_CHECKING:
    from wherry.process.spool import Spool


class Demand:
    """Whether the next event is wanted.

    It is while somebody waits for anything, so that no ignored stream can block what is waited
    for; and else while less than a pipe's worth was read ahead, so that a program that writes
    little runs to its end without a reader, as a process does.
    """

    def __init__(self) -> None:
        self._spools: list[Spool] = []
        self._waiting = 0
        self._wanted = asyncio.Event()

    def watch(self, spool: Spool) -> None:
        """Count what is read ahead into this spool."""
        self._spools.append(spool)

    @contextmanager
    def present(self) -> Iterator[None]:
        """Want events for as long as the block runs."""
        self._waiting += 1
        self.changed()
        try:
            yield
        finally:
            self._waiting -= 1
            self.changed()

    def changed(self) -> None:
        """Look again: something was read, or read ahead."""
        if self._waiting or all(len(spool) < CHUNK for spool in self._spools):
            self._wanted.set()
        else:
            self._wanted.clear()

    async def wait(self) -> None:
        """Wait until the next event is wanted."""
        self.changed()
        await self._wanted.wait()
