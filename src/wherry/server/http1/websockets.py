"""Websockets: uvicorn's protocol over wsproto takes over the connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.server.http1.host import Host


def websocket(host: Host, transport: asyncio.Transport, *, received: bytes) -> None:
    """Hand a connection over, with what was received: the request that asked for it, and on."""
    from uvicorn.config import Config
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
    from uvicorn.server import ServerState

    config = Config(host.app, log_config=None, lifespan="off", ws="wsproto", http="h11")
    config.load()
    state = ServerState()
    state.tasks = host.tasks
    protocol = WSProtocol(config=config, server_state=state, app_state={})
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    protocol.data_received(received)
