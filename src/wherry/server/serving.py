"""``wherry serve`` from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry.server import descriptors
from wherry.server.assembly import Assembled, assembled
from wherry.server.funker import Exposed, exposed, ports_of
from wherry.server.listening import Listening
from wherry.server.notify import notify
from wherry.server.sockets import bind
from wherry.server.stopping import Stopping
from wherry.server.tls import Certificate
from wherry.triggers.http.auth import check_no_auth

if TYPE_CHECKING:
    from wherry.engines.base import Engine
    from wherry.server.options import ServeOptions

Say = Callable[[str], None]


async def serve(
    options: ServeOptions, engine: Engine, *, say: Say, greet: Callable[[list[str]], None]
) -> None:
    """Serve until a signal asks to stop.

    ``greet`` is called with the addresses once they are served; ``say`` with what goes on.
    Raises :class:`wherry.errors.UsageError` and :class:`EngineError` before anything is served.
    """
    if options.no_auth:
        for address in options.listen:
            check_no_auth(address)
    descriptors.allow_many()
    ports = ports_of(options.files)
    certificate = Certificate(options.tls_cert, options.tls_key) if options.tls_cert else None
    listeners = bind(options.listen, mode=options.socket_mode)
    try:
        async with (
            assembled(options, engine) as made,
            exposed(ports, made.parts.service, say=say) as funker,
        ):
            tls = certificate.context if certificate else None
            listening = Listening(made.app, listeners, tls=tls)
            stopping = Stopping()
            await listening.start()
            greet(listening.addresses)
            async with _beside(made, certificate):
                notify("READY=1")
                try:
                    await stopping.asked.wait()
                    notify("STOPPING=1")
                    say(f"stopping: calls have {options.grace:g} s to end; again to end them now")
                finally:
                    await _stop(made, listening, stopping, funker=funker, grace=options.grace)
    finally:
        for listener in listeners:
            listener.close()


@asynccontextmanager
async def _beside(made: Assembled, certificate: Certificate | None) -> AsyncIterator[None]:
    """Work on the queue and look after files; what fails there ends the server."""
    async with asyncio.TaskGroup() as group:
        group.create_task(made.workers.run())
        group.create_task(made.dispatching.run())
        watching = [group.create_task(made.schedules.run())]
        if made.files is not None:
            watching.append(group.create_task(made.files.run()))
        if certificate is not None:
            watching.append(group.create_task(certificate.watch()))
        try:
            yield
        finally:
            for task in watching:
                task.cancel()


async def _stop(
    made: Assembled, listening: Listening, stopping: Stopping, *, funker: Exposed, grace: float
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(funker.stop(grace=grace, at_once=stopping.at_once))
        group.create_task(made.parts.logs.aclose())  # who follows a log would never go
        group.create_task(listening.stop(grace=grace, at_once=stopping.at_once))
        group.create_task(made.dispatching.stop(at_once=stopping.at_once))
        group.create_task(_stop_queue(made, stopping, grace=grace))
        group.create_task(made.schedules.stop(grace=grace, at_once=stopping.at_once))


async def _stop_queue(made: Assembled, stopping: Stopping, *, grace: float) -> None:
    """Let calls of the queue end, and hand back the others."""
    closing = asyncio.create_task(made.workers.aclose(grace=grace))
    hurry = asyncio.create_task(stopping.at_once.wait())
    await asyncio.wait({closing, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not closing.done():
        await made.workers.aclose(grace=0.0)
    await closing
