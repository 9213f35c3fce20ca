"""Somebody who reads log lines as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from wherry.calls.logline import LogLine

_BEHIND = 1_000
"""Lines that a follower may be behind; then the oldest are lost to it, and a line says so."""


class Follower:
    """Is told of every line, and hands those it wants to its reader when that one asks."""

    def __init__(self, wants: Callable[[LogLine], bool], *, behind: int = _BEHIND) -> None:
        self._wants = wants
        self._lines: deque[LogLine] = deque()
        self._behind = behind
        self._lost = 0
        self._ended = False
        self._news = asyncio.Event()

    def tell(self, line: LogLine) -> None:
        """Take a line; never waits."""
        if not self._wants(line):
            return
        if len(self._lines) >= self._behind:
            self._lines.popleft()
            self._lost += 1
        self._lines.append(line)
        self._news.set()

    def end(self) -> None:
        """Say that there will be no more lines."""
        self._ended = True
        self._news.set()

    async def next(self) -> LogLine | None:
        """Wait for a line; None when there will be no more."""
        while not self._lines:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        if self._lost:
            return self._complaint(self._lines[0])
        return self._lines.popleft()

    def _complaint(self, line: LogLine) -> LogLine:
        count, self._lost = self._lost, 0
        return lost(line, count, why="its reader is too slow")


def lost(line: LogLine, count: int, *, why: str) -> LogLine:
    """Return a line that says how many are missing before ``line``."""
    text = f"[wherry: {count} lines of this log are missing here: {why}]"
    return LogLine(line.name, line.namespace, line.instance, line.timestamp, text)
