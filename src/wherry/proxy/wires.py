"""Connections as raw sockets: read when somebody wants to read, written without a buffer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

from wherry.engines.docker.duplex import Duplex
from wherry.models import CHUNK

_KEEPALIVE_IDLE = 30
_EAGER = 4


class Wire(Duplex, Protocol):
    """What a client is connected by."""

    def cut(self) -> None:
        """End both directions, from outside: whoever reads or writes wakes up."""
        ...


class SocketWire:
    """One connected socket, with an end for each direction.

    Nothing is read ahead and nothing is held back, so a peer that does not read stops whoever
    writes, and an idle connection costs no buffer.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected socket."""
        connected.setblocking(False)
        self.socket = connected
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._eager = 0
        """Reads in a row that had nothing to wait for."""
        if connected.family != socket.AF_UNIX:
            _tune(connected)

    async def read(self) -> bytes:
        """Return what is there, at most 64 KiB; empty is the end. Raises OSError when cut.

        A peer that always has more does not keep the loop from others.
        """
        if self._eager >= _EAGER:
            self._eager = 0
            await asyncio.sleep(0)
        try:
            data = self.socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            self._eager = 0
            return await self._loop.sock_recv(self.socket, CHUNK)
        self._eager += 1
        return data

    async def write(self, data: bytes) -> None:
        """Send, and wait while the peer does not read. Raises OSError when cut."""
        await self._loop.sock_sendall(self.socket, data)

    async def end(self) -> None:
        """Half-close. Idempotent."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(OSError):  # the peer may have closed both directions
                self.socket.shutdown(socket.SHUT_WR)

    def is_stale(self) -> bool:
        """Whether the peer has closed, or sent what nobody asked for."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def cut(self) -> None:
        """End both directions: whoever reads or writes wakes up."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; nobody may be reading or writing. Idempotent."""
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket.fileno())
            self._loop.remove_writer(self.socket.fileno())
            self.socket.close()

    async def wait_closed(self) -> None:
        """Return: there is nothing behind a socket."""


def _tune(connected: socket.socket) -> None:
    """Send small pieces at once, and notice within about a minute a peer that has vanished."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("KEEPIDLE", _KEEPALIVE_IDLE), ("KEEPINTVL", 10), ("KEEPCNT", 3)):
        if (option := getattr(socket, f"TCP_{name}", None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


async def dial_unix(path: str) -> SocketWire:
    """Connect to a unix socket; raises OSError."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(opened, path)
    except BaseException:
        opened.close()
        raise
    return SocketWire(opened)
