"""What a kept container writes: for its function's log, and for messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.errors import StartError
from wherry.models import Exit, Output
from wherry.service.call import STDERR_TAIL, Call

if TYPE_CHECKING:
    from wherry.engines.base import Container
    from wherry.functions.model import Deployed

Wrote = Callable[[Call, Output], None]
"""Hears what a kept container writes, for the function's log."""


class LastWords:
    """What a kept container writes, and the end of it for messages."""

    def __init__(self, deployed: Deployed, container: str, wrote: Wrote | None) -> None:
        self._call = Call(id=container, deployed=deployed, trigger="http", began=time.time())
        self._wrote = wrote

    async def read(self, container: Container) -> Exit:
        """Read to the end; a server's stdout is a log as well."""
        async for event in container:
            if isinstance(event, Exit):
                return event
            self._call.stderr_tail += event.data[-STDERR_TAIL:]
            del self._call.stderr_tail[:-STDERR_TAIL]
            if self._wrote is not None:
                self._wrote(self._call, event)
        raise StartError(f"container {container.id} ended without an exit")

    def __str__(self) -> str:
        """Return the end of it, to follow a message."""
        text = bytes(self._call.stderr_tail[-500:]).decode(errors="replace").strip()
        return f": {text}" if text else ""
