"""One direction of two joined connections."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from wherry.proxy.wires import SocketWire

if TYPE_CHECKING:
    from wherry.engines.docker.duplex import Duplex

_PIECE = 256 * 1024
_TURNS = 4
"""Pieces that are passed on before other connections get their turn."""
_scratch = memoryview(bytearray(_PIECE))
"""Where pieces are on their way from one socket to another, within one step of the loop."""


class SourceCut(Exception):
    """What is read from was cut."""


class SinkCut(Exception):
    """What is written to was cut, or reads no more."""


async def pump(source: Duplex, sink: Duplex, *, first: bytes = b"") -> None:
    """Pass everything on until the end, then half-close the sink. Raises SourceCut, SinkCut.

    ``first`` goes before everything, in a write of its own.
    """
    if first:
        await _write(sink, first)
    if isinstance(source, SocketWire) and isinstance(sink, SocketWire):
        await _SocketPump(source.socket, sink.socket).run()
    else:
        await _pass_on(source, sink)
    try:
        await sink.end()
    except OSError as error:
        raise SinkCut(str(error)) from error


async def _pass_on(source: Duplex, sink: Duplex) -> None:
    while True:
        try:
            data = await source.read()
        except OSError as error:
            raise SourceCut(str(error)) from error
        if not data:
            return
        await _write(sink, data)


async def _write(sink: Duplex, data: bytes) -> None:
    try:
        await sink.write(data)
    except OSError as error:
        raise SinkCut(str(error)) from error


class _SocketPump:
    """From one socket to another, without a task's step and a new buffer for each piece."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source = source
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._rest = memoryview(b"")
        """What the sink has not taken yet; nothing is read before it has."""

    async def run(self) -> None:
        """Return at the source's end; raises SourceCut or SinkCut."""
        self._loop.add_reader(self._source, self._readable)
        try:
            await self._over
        finally:
            self._loop.remove_reader(self._source)
            self._loop.remove_writer(self._sink)

    def _readable(self) -> None:
        for _ in range(_TURNS):
            if self._over.done():
                return
            try:
                size = self._source.recv_into(_scratch)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(SourceCut(str(error)), error)
                return
            if not size:
                self._over.set_result(None)
                self._loop.remove_reader(self._source)
                return
            sent = self._send(_scratch[:size])
            if sent < size:
                self._rest = memoryview(bytes(_scratch[sent:size]))
                self._loop.remove_reader(self._source)
                self._loop.add_writer(self._sink, self._writable)
                return

    def _writable(self) -> None:
        if self._over.done():
            return
        self._rest = self._rest[self._send(self._rest) :]
        if not self._rest and not self._over.done():
            self._loop.remove_writer(self._sink)
            self._loop.add_reader(self._source, self._readable)

    def _send(self, data: memoryview) -> int:
        try:
            return self._sink.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._fail(SinkCut(str(error)), error)
            return len(data)

    def _fail(self, told: Exception, error: OSError) -> None:
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._sink)
        told.__cause__ = error
        if not self._over.done():
            self._over.set_exception(told)
