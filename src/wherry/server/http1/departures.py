"""Clients that leave while nobody reads from them.

asyncio hears of a closed connection by reading from it, and what is paused, so that a program
that reads slowly stops its caller, is not read. epoll can say that the other end is closed
without reading, and an epoll can be watched like any file.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress

_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLET


class Departures:
    """Watches sockets for the closing of their other end."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, fd: int, gone: Callable[[], None]) -> None:
        """Call ``gone`` once when the other end is closed."""
        self._callbacks[fd] = gone
        self._epoll.register(fd, _GONE)

    def forget(self, fd: int, gone: Callable[[], None]) -> None:
        """Watch no more, whoever has the descriptor by now.

        Under TLS it is closed, and so not watched any more, before anybody hears of it.
        """
        if self._callbacks.get(fd) == gone:
            del self._callbacks[fd]
            with suppress(OSError):
                self._epoll.unregister(fd)

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._callbacks.clear()

    def _look(self) -> None:
        for fd, _ in self._epoll.poll(0):
            if (gone := self._callbacks.get(fd)) is not None:
                gone()
