"""Asking a server in a container whether it is well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h11

from wherry.errors import EngineError

if TYPE_CHECKING:
    from wherry.service.door import Door

TOLERATED = 3
"""Checks that fail in a row before a container is replaced."""
_WITHIN = 5.0
_MOST = 64 * 1024


async def ailment(door: Door, path: str) -> str | None:
    """Return what is wrong, None when ``GET path`` is answered 2xx within five seconds."""
    try:
        async with asyncio.timeout(_WITHIN):
            status = await _status(door, path)
    except TimeoutError:
        return f"GET {path} was not answered within {_WITHIN:g} s"
    except (OSError, h11.ProtocolError, EngineError) as error:
        return f"GET {path} was not answered: {error}"
    return None if 200 <= status < 300 else f"GET {path} was answered {status}"


async def _status(door: Door, path: str) -> int:
    with await door.connect() as connection:
        loop = asyncio.get_running_loop()
        client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST)
        headers = [("Host", "localhost"), ("User-Agent", "wherry"), ("Connection", "close")]
        request = client.send(h11.Request(method="GET", target=path, headers=headers))
        await loop.sock_sendall(connection, request or b"")
        while not isinstance(event := client.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                client.receive_data(await loop.sock_recv(connection, _MOST))
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the connection was closed")
        return event.status_code
