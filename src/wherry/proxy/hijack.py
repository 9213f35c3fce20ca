"""Two connections joined into one: each direction goes on until its own end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.proxy.front.leaving import has_left
from wherry.proxy.front.problems import ClientLeft
from wherry.proxy.pumps import SinkCut, SourceCut, pump
from wherry.proxy.wires import SocketWire

if TYPE_CHECKING:
    from wherry.engines.docker.duplex import Duplex
    from wherry.proxy.front.leaving import Presence


async def join(
    client: Duplex,
    engine: Duplex,
    *,
    sent: bytes = b"",
    carried: bytes = b"",
    leaving: Presence | None = None,
) -> None:
    """Pump both ways until both directions have ended.

    The end of one direction is a half-close of the other side, and the opposite direction goes
    on until its own end. A side that does not read stops the other one; nothing is buffered.

    A client that is all gone (``leaving`` says when) takes the other direction with it, but not
    before what it has sent was passed on. An engine that is all gone takes the client with it.
    ``sent`` is what was read of the client already, ``carried`` what was read of the engine.
    Raises ClientLeft, or EngineError when the engine's connection was cut.
    """
    up = asyncio.create_task(_up(client, engine, sent))
    down = asyncio.create_task(_down(client, engine, carried))
    try:
        if leaving is None:
            await _both(up, down, engine)
        else:
            async with leaving:
                await _both(up, down, engine)
    except ClientLeft:
        if not up.done():
            await asyncio.wait([up])
        raise
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _both(up: asyncio.Task[None], down: asyncio.Task[None], engine: Duplex) -> None:
    waiting = {up, down}
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if down in done and is_closed(engine):
            return


async def _up(client: Duplex, engine: Duplex, first: bytes) -> None:
    """Pass on what the client sends; an engine that takes no more of it may still answer."""
    try:
        await pump(client, engine, first=first)
    except SourceCut as error:
        raise ClientLeft(f"the client has left: {error}") from error
    except SinkCut:
        return


async def _down(client: Duplex, engine: Duplex, first: bytes) -> None:
    """Pass on what the engine sends; without a client that reads it, all is over."""
    try:
        await pump(engine, client, first=first)
    except SinkCut as error:
        raise ClientLeft(f"the client has left: {error}") from error
    except SourceCut as error:
        raise EngineError(f"the engine's connection was cut: {error}") from error


def is_closed(wire: Duplex) -> bool:
    """Whether the other end has closed both directions, as far as a unix socket can tell."""
    return isinstance(wire, SocketWire) and has_left(wire.socket)
