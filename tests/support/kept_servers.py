"""Servers in containers that are none: programs of the memory engine behind a real door."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from wherry.engines.relay import ACCEPTED, UP
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed, Deployment, Settings
from wherry.models import Function

if TYPE_CHECKING:
    from wherry.testing import Call, Program

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server(serve: Serve, *, code: int | None = None) -> Program:
    """Return a program that answers each connection that comes through its door.

    It ends with the door, as the relay would end it, or with ``code`` after its first connection.
    """

    async def program(call: Call) -> int:
        line = await open_door(call)
        tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        stop = call.trap(15)
        try:
            await loop.sock_sendall(line, UP)
            while (connection := await _unless(stop, _next(line))) is not None:
                task = asyncio.create_task(_one(serve, connection))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if code is not None:
                    await asyncio.wait([task])
                    return code
            return 0
        finally:
            line.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return program


async def open_door(call: Call) -> socket.socket:
    """Go through the door, as the relay does first of all."""
    mount = next(m for m in call.invocation.function.mounts if m.target == "/run/wherry")
    line = socket.socket(socket.AF_UNIX)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, f"{mount.source}/door")
    return line


async def _next(line: socket.socket) -> socket.socket | None:
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(line.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(line.fileno())
    data, fds, _, _ = socket.recv_fds(line, 1, 1)
    if not data:
        return None
    await loop.sock_sendall(line, ACCEPTED)
    return socket.socket(fileno=fds[0])


async def _unless(stop: asyncio.Event, work: Any) -> Any:
    tasks = [asyncio.ensure_future(work), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _one(serve: Serve, connection: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    try:
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
    finally:
        writer.close()


def deployed(name: str = "web", *, image: str = "web", **settings: Any) -> Deployed:
    """Return a function of mode ``http``."""
    return Deployed(
        name=name,
        namespace=DEFAULT_NAMESPACE,
        deployment=Deployment(service=name, image=image),
        settings=Settings(**{"mode": "http", **settings}),
        function=Function(name=f"{name}.{DEFAULT_NAMESPACE}", image=image),
        created=0.0,
    )
