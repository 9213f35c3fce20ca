"""Bytes of one connection, read to the end of the stream and within a limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from wherry.errors import TooLarge
from wherry.models import CHUNK

_LINGER = 1.0


async def read_to_end(connection: socket.socket, *, most: int, what: str) -> bytes:
    """Return everything up to the half-close; raises :class:`TooLarge` and OSError."""
    loop = asyncio.get_running_loop()
    found = bytearray()
    while data := await loop.sock_recv(connection, CHUNK):
        found += data
        if len(found) > most:
            raise TooLarge(f"{what} is larger than {most} bytes")
    return bytes(found)


async def send_last(connection: socket.socket, data: bytes) -> None:
    """Send all, half-close, and let what still comes in not cut what goes out; raises OSError."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, data)
    connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_LINGER):
            while await loop.sock_recv(connection, CHUNK):
                continue
