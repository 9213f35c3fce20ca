"""Where clients come in: a unix socket of one tenant, or a port for all with a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.proxy.front.request import Peer
from wherry.proxy.tls import TlsWire
from wherry.proxy.wires import SocketWire
from wherry.web.unix import bind_unix

if TYPE_CHECKING:
    from wherry.proxy.front.front import Front

_log = logging.getLogger(__name__)
_BACKLOG = 4096
_AT_ONCE = 64
"""Clients that are accepted before others are served again."""
_SERVED = 1280
"""Clients of one listener at one time; more wait until they are accepted."""
_HANDSHAKE_SECONDS = 10.0
_STRANGERS = 256
"""Clients that have not shown a certificate yet; one more is let go at once."""
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.1
"""Seconds until the next try, when the kernel has no descriptor left for a client."""
_CREDENTIALS = struct.Struct("iII")


class Listener:
    """Accepts connections until it is closed. What was accepted goes on."""

    def __init__(
        self,
        bound: socket.socket,
        serve: Callable[[socket.socket], Awaitable[None]],
        *,
        path: Path | None = None,
    ) -> None:
        """Accept on a listening socket; ``path`` is removed in the end."""
        bound.setblocking(False)
        self._socket = bound
        self._serve = serve
        self._path = path
        self._inode = path.stat().st_ino if path else 0
        self._serving: set[asyncio.Task[None]] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._accepting = asyncio.create_task(self._accept())

    @property
    def port(self) -> int:
        """Of a TCP listener."""
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Accept no more, and remove the socket's file if it is still our own."""
        # Before the cancellation: an accept that is due by now would find its future cancelled, and
        # its client would wait for ever.
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        self._socket.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                if self._path.lstat().st_ino == self._inode:
                    self._path.unlink()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._has_room.wait()
            try:
                connected, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno not in _FULL:
                    continue  # a client that left before it was accepted
                _log.warning("no client can be accepted", extra={"reason": str(error)})
                await asyncio.sleep(_PAUSE)
            else:
                self._begin(connected)
                self._accept_waiting()

    def _accept_waiting(self) -> None:
        """Accept those that came together: more than the backlog holds are turned away."""
        for _ in range(_AT_ONCE):
            if not self._has_room.is_set():
                return
            try:
                connected, _ = self._socket.accept()
            except OSError:  # nobody is left; what else it is, the next turn says
                return
            self._begin(connected)

    def _begin(self, connected: socket.socket) -> None:
        task = asyncio.create_task(self._served(connected))
        self._serving.add(task)
        if len(self._serving) >= _SERVED:
            self._has_room.clear()
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._has_room.set()

    async def _served(self, connected: socket.socket) -> None:
        try:
            await self._serve(connected)
        except OSError as error:
            _log.debug("a connection failed", extra={"reason": str(error)})
        finally:
            connected.close()


def listen_unix(path: Path, front: Front, *, mode: int = 0o666) -> Listener:
    """Listen on a unix socket of one tenant's own, which every user of its directory may open.

    The directory is what keeps others out. A socket that nobody listens on any more is
    replaced. Raises UsageError for a path that cannot be a socket, EngineError when it cannot be
    bound.
    """
    bound = bind_unix(path, mode=mode, backlog=_BACKLOG)

    async def serve(connected: socket.socket) -> None:
        peer = _peer_of(connected)
        await front.serve(SocketWire(connected), watched=connected, peer=peer)

    return Listener(bound, serve, path=path)


def _peer_of(connected: socket.socket) -> Peer:
    size = _CREDENTIALS.size
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return Peer("unix", pid=pid, uid=uid)


def listen_tls(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext,
    choose: Callable[[Peer], Front | None],
) -> Listener:
    """Listen on a TCP port for clients with certificates; each certificate is one tenant's.

    ``choose`` finds the front of a certificate; None closes the connection. Raises EngineError
    when the port cannot be bound.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise EngineError(f"{host} port {port} cannot be bound: {error}") from error
    strangers: set[TlsWire] = set()

    async def serve(connected: socket.socket) -> None:
        if len(strangers) >= _STRANGERS:
            _log.warning("too many clients have not said who they are")
            return
        wire = TlsWire(SocketWire(connected), context=context)
        strangers.add(wire)
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                peer = await wire.handshake()
        except OSError as error:  # ssl.SSLError and TimeoutError are
            _log.info("a client was refused", extra={"reason": str(error)})
            return
        finally:
            strangers.discard(wire)
        if (front := choose(peer)) is None:
            _log.info("a client is of no tenant", extra={"certificate": peer.certificate})
            return
        await front.serve(wire, watched=connected, peer=peer)

    return Listener(bound, serve)
