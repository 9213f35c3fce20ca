"""Being a Funker function: one call, and the process is done."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable
from typing import Any

from wherry.errors import EngineError, TooLarge, UsageError
from wherry.funker import protocol
from wherry.funker.exchange import read_to_end, send_last

Listening = Callable[[int], None]


def handle(
    function: Callable[..., Any],
    *,
    whole: bool = False,
    host: str = "",
    port: int = protocol.PORT,
    timeout: float = 60.0,
    max_bytes: int = protocol.LARGEST,
    listening: Listening | None = None,
) -> None:
    """Wait for one call, answer it with what the function returns, and return.

    The members of the document are the function's arguments by name; with ``whole``, or when it
    is no object, the document itself is its only one. The function may be a coroutine's. While
    the call runs, others are refused at once. An error of the function is answered, and raised.
    ``timeout`` is how many seconds the caller has to say everything; ``listening`` is told the
    port, each time that it listens. Raises :class:`EngineError` when the port cannot be had.
    """
    asyncio.run(
        ahandle(function, whole=whole, host=host, port=port, timeout=timeout, max_bytes=max_bytes,
                listening=listening)
    )  # fmt: skip


async def ahandle(
    function: Callable[..., Any],
    *,
    whole: bool = False,
    host: str = "",
    port: int = protocol.PORT,
    timeout: float = 60.0,
    max_bytes: int = protocol.LARGEST,
    listening: Listening | None = None,
) -> None:
    """Wait for one call and answer it, in an event loop that runs; see :func:`handle`."""
    while True:
        with _listener(host, port) as listener:
            port = int(listener.getsockname()[1])
            if listening is not None:
                listening(port)
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        with connection:
            protocol.keep_alive(connection)
            connection.setblocking(False)
            try:
                async with asyncio.timeout(timeout):
                    data = await read_to_end(connection, most=max_bytes, what="the call")
            except TooLarge as error:
                await _say(connection, protocol.failure("TooLarge", str(error)))
                raise
            except OSError:
                continue  # whoever it was has left, or says nothing: that was no call
            if not data.strip():
                continue  # a probe of the port
            await _answer(connection, data, function=function, whole=whole)
            return


def _listener(host: str, port: int) -> socket.socket:
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, dualstack_ipv6=both, backlog=1)
    except OSError as error:
        where = host or "this machine"
        said = error.strerror or error
        raise EngineError(f"port {port} of {where} cannot be had: {said}") from error
    made.setblocking(False)
    return made


async def _answer(
    connection: socket.socket, data: bytes, *, function: Callable[..., Any], whole: bool
) -> None:
    try:
        document = protocol.decode(data)
    except ValueError as error:
        await _say(connection, protocol.failure("BadDocument", f"the call is no JSON: {error}"))
        raise UsageError(f"the call {data[:80]!r} is no JSON: {error}") from error
    try:
        if isinstance(document, dict) and not whole:
            value = function(**document)
        else:
            value = function(document)
        if inspect.isawaitable(value):
            value = await value
        said = protocol.encode(value, what="what the function returned")
    except Exception as error:
        await _say(connection, protocol.failure(type(error).__name__, str(error)))
        raise
    await _say(connection, said)


async def _say(connection: socket.socket, data: bytes) -> None:
    try:
        await send_last(connection, data)
    except OSError:
        return  # the caller has left
