"""Websockets: uvicorn's protocol over wsproto takes over the connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.server.http1.host import Host


def websocket(
    host: Host, *, transport: asyncio.Transport, scope: dict[str, Any], url: bytes
) -> None:
    """Hand a connection over, with the request that asked for it."""
    from uvicorn.config import Config
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
    from uvicorn.server import ServerState

    config = Config(host.app, log_config=None, lifespan="off", ws="wsproto", http="h11")
    config.load()
    state = ServerState()
    state.tasks = host.tasks
    protocol = WSProtocol(config=config, server_state=state, app_state={})
    lines = [b"%s %s HTTP/1.1\r\n" % (scope["method"].encode(), url)]
    lines += [b"%s: %s\r\n" % header for header in scope["headers"]]
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    protocol.data_received(b"".join([*lines, b"\r\n"]))
