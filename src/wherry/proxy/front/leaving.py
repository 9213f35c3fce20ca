"""Clients that leave while nobody reads from them."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from types import TracebackType

from wherry.proxy.front.problems import ClientLeft

_CLOSED = select.EPOLLHUP | select.EPOLLERR
"""Both directions are over: a unix socket tells that from a half-close."""
_ENDED = _CLOSED | select.EPOLLRDHUP
"""A TCP peer that closes looks like one that only ends its direction; under TLS the latter is a
message of its own, so the former is left."""


def has_left(watched: socket.socket) -> bool:
    """Whether the other end is all closed by now, as far as can be known without reading."""
    looked = select.poll()
    looked.register(watched, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in looked.poll(0))


class Departures:
    """Watches sockets for a client that has left; epoll can say so without reading."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._watched: dict[int, tuple[int, list[Callable[[], None]]]] = {}
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, watched: socket.socket, gone: Callable[[], None], *, closed: bool) -> None:
        """Call ``gone`` when the other end has left; ``closed``: only when it is all closed."""
        fd = watched.fileno()
        unix = watched.family == socket.AF_UNIX
        mask = _CLOSED if closed or unix else _ENDED
        if fd in self._watched:
            held, callbacks = self._watched[fd]
            self._watched[fd] = (held | mask, [*callbacks, gone])
            self._epoll.modify(fd, held | mask | select.EPOLLET)
        else:
            self._watched[fd] = (mask, [gone])
            self._epoll.register(fd, mask | select.EPOLLET)

    def forget(self, watched: socket.socket, gone: Callable[[], None]) -> None:
        """Stop to call ``gone``; to be called before the socket is closed."""
        fd = watched.fileno()
        mask, callbacks = self._watched.pop(fd)
        if left := [each for each in callbacks if each is not gone]:
            self._watched[fd] = (mask, left)
        else:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._watched.clear()

    def _look(self) -> None:
        for fd, _ in self._epoll.poll(0):
            _, callbacks = self._watched.get(fd, (0, []))
            for gone in callbacks:
                gone()


class Presence:
    """A block that ends when the client leaves, as ``asyncio.timeout`` ends one in time."""

    def __init__(
        self, departures: Departures, watched: socket.socket, *, closed: bool = False
    ) -> None:
        self._departures = departures
        self._watched = watched
        self._closed = closed
        self._task: asyncio.Task[object] | None = None
        self._gone = self._leave
        self._before = 0
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._departures.watch(self._watched, self._gone, closed=self._closed)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        assert task is not None
        self._departures.forget(self._watched, self._gone)
        if not self._left or task.uncancel() > self._before:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            raise ClientLeft("the client has left") from error

    def _leave(self) -> None:
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()
