"""Reading our own stdin when the function wants it, and only then."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator

from wherry.cli import standard
from wherry.cli.sinks import readable, reopened
from wherry.errors import WherryError
from wherry.models import CHUNK
from wherry.streams import NOTHING


class SourceError(WherryError):
    """Our stdin cannot be read; the cause says why."""


def stdin(*, interactive: bool) -> AsyncIterator[bytes]:
    """Return our stdin; nothing when it is a terminal and nobody asked for it (``-i``)."""
    if os.isatty(standard.STDIN) and not interactive:
        return NOTHING
    return _Stdin()


class _Stdin(AsyncIterator[bytes]):
    """Not a generator: a reader that is left in the middle leaves nothing to finish.

    No thread reads: one that is stuck on a silent terminal would keep the process from ending.
    """

    def __init__(self) -> None:
        self._shared = standard.STDIN
        mode = os.fstat(self._shared).st_mode
        self._pollable = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self._shared)
        self._own = reopened(self._shared, os.O_RDONLY) if self._pollable else None

    async def __anext__(self) -> bytes:
        try:
            data = await self._read()
        except OSError as error:
            raise SourceError(f"stdin cannot be read: {error.strerror}") from error
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Close what is our own."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    async def _read(self) -> bytes:
        if not self._pollable:
            return os.read(self._shared, CHUNK)
        while True:
            if self._own is None:
                await readable(self._shared)
                return os.read(self._shared, CHUNK)
            try:
                return os.read(self._own, CHUNK)
            except BlockingIOError:  # nothing yet, or somebody else was faster
                await readable(self._own)
