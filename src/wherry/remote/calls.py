"""Calls of wherry's own engine: an invocation in, its events out, live in both directions.

What is said is in :mod:`wherry.engines.remote.protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from wherry.engines.docker.owner import container_name
from wherry.engines.remote import protocol
from wherry.engines.remote.protocol import frame, write_error, write_exit
from wherry.errors import Busy, Conflict, EngineError, NotFound, UsageError, WherryError
from wherry.models import Exit, Output
from wherry.remote.calling import Budget, FramesOf, read_function
from wherry.remote.faults import Fault, Forbidden
from wherry.remote.policed import policed_function
from wherry.remote.sweeping import Sweeping
from wherry.service.live import CallerLeft
from wherry.streams import NOTHING
from wherry.web.duplex import Duplex
from wherry.wrappers.deadline import Deadline

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from wherry.engines.base import Container
    from wherry.engines.docker.engine import DockerEngine
    from wherry.models import Function
    from wherry.remote.calling import Asked
    from wherry.remote.guard import Guarded
    from wherry.remote.model import Caller
    from wherry.remote.turns import Turns
    from wherry.remote.windows import Burst

_FIRST = 60.0
"""Seconds in which a call has to be told."""
_READING = 600.0
"""Seconds that a client has to read the rest of a call that is over."""
_PING_SECONDS = 5.0
_BODY = 256 * 1024
_HELD = 256 * 1024 * 1024
"""Bytes of all calls together, which are mostly the files that go into their containers."""
_KINDS: dict[str, protocol.Kind] = {"stdout": protocol.STDOUT, "stderr": protocol.STDERR}


@dataclass(slots=True, eq=False)
class _Live:
    """A call under way."""

    asked: Asked
    container: Container | None = None
    work: asyncio.Task[None] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Calls:
    """Serves everything below :data:`wherry.engines.remote.protocol.ROOT`."""

    def __init__(
        self, engine: DockerEngine, *, guard: Guarded, turns: Turns, timeout: float | None = None
    ) -> None:
        """``timeout``, in seconds, is what a call has that asks for none, and the most."""
        self._docker = engine
        self._engine = Deadline(engine)
        self._guard = guard
        self._turns = turns
        self._timeout = timeout
        self._sweeping = Sweeping(engine.client)
        self._budget = Budget(_HELD)
        self._live: dict[tuple[str, str], _Live] = {}

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._live)

    def burst(self, method: str, path: str) -> Burst | None:
        """Count what begins something, as runs are."""
        begins = method == "POST" and path.removeprefix(protocol.ROOT) in ("call", "prepare")
        return "low" if begins else None

    async def settled(self) -> None:
        """Wait until the containers of calls that have ended are removed."""
        await self._docker.settled()
        await self._sweeping.settled()

    async def aclose(self) -> None:
        """Give up what nobody waits for. Idempotent."""
        await self._sweeping.aclose()

    async def serve(self, scope: Scope, *, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer one request of somebody who was let in."""
        method, path = scope["method"], scope["path"].removeprefix(protocol.ROOT)
        try:
            async with Duplex(scope, receive=receive, send=send) as exchange:
                try:
                    match method, path.split("/"):
                        case "POST", ["call"]:
                            await self._call(exchange, caller)
                        case "POST", ["prepare"]:
                            await self._prepare(exchange, caller)
                        case "POST", ["calls", call, "kill"]:
                            await self._kill(exchange, caller, call=call)
                        case "DELETE", ["calls", call]:
                            await self._leave(exchange, caller, call=call)
                        case "POST", ["settled"]:
                            await self.settled()
                            await exchange.answer(204, b"")
                        case _:
                            raise NotFound("there is no such path")
                except WherryError as error:
                    await self._refuse(exchange, error)
        except CallerLeft:
            return

    # ---- the requests --------------------------------------------------------------------

    async def _call(self, exchange: Duplex, caller: Caller) -> None:
        frames = FramesOf(exchange.body, budget=self._budget)
        try:
            await self._called(exchange, frames, caller=caller)
        finally:
            frames.close()

    async def _called(self, exchange: Duplex, frames: FramesOf, *, caller: Caller) -> None:
        try:
            async with asyncio.timeout(_FIRST):
                asked = await frames.call()
        except TimeoutError as error:
            raise UsageError(f"the call was not told within {_FIRST:g} s") from error
        asked = self._checked(asked, caller)
        key = (caller.name, asked.invocation.id)
        if any(id_ == asked.invocation.id for _, id_ in self._live):
            raise Conflict(f"invocation.id: call {asked.invocation.id} runs already")
        live = self._live[key] = _Live(asked)
        try:
            await exchange.start(200, [(b"content-type", protocol.MEDIA.encode()),
                                       (b"connection", b"close")])  # fmt: skip
            last = await self._worked(exchange, live, frames=frames, caller=caller)
        finally:
            del self._live[key]
            live.over.set()
        await exchange.write(last)
        # The end of the connection is the client's: ended here, with input of its still under
        # way, what it has not read yet would be lost.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READING):
                await _ping(exchange)
        await exchange.end()

    async def _worked(
        self, exchange: Duplex, live: _Live, *, frames: FramesOf, caller: Caller
    ) -> bytes:
        """Do the work, which this client or a request of its own can end; return the last frame."""
        live.work = asyncio.create_task(self._work(exchange, live, frames=frames, caller=caller))
        pinging = asyncio.create_task(_ping(exchange))
        try:
            await asyncio.wait([live.work])
        finally:
            pinging.cancel()
            live.work.cancel()
            await asyncio.wait([live.work, pinging])
        if live.work.cancelled():
            return _failure(EngineError("the call was ended"))
        match live.work.exception():
            case None:
                return frame(protocol.DONE)
            case WherryError() as error:
                if isinstance(error, EngineError):
                    self._sweeping.begin(container_name(live.asked.invocation.id))
                return _failure(self._plain(error))
            case error:
                raise error

    async def _work(
        self, exchange: Duplex, live: _Live, *, frames: FramesOf, caller: Caller
    ) -> None:
        invocation = live.asked.invocation
        stdin = frames.stdin() if live.asked.has_stdin else NOTHING
        async with contextlib.AsyncExitStack() as entering:
            await entering.enter_async_context(self._turns.taken())
            async with contextlib.AsyncExitStack() as noted:
                name, image = container_name(invocation.id), invocation.function.image
                noted.enter_context(self._guard.noting(caller, "call", container=name, image=image))
                place = self._guard.place(caller, name, settled=self._docker.settled)
                await noted.enter_async_context(place)
                begun = self._engine.start(invocation, stdin)
                live.container = await entering.enter_async_context(begun)
            await exchange.write(frame(protocol.STARTED))
            async for event in live.container:
                match event:
                    case Output(stream, data):
                        await exchange.write(frame(_KINDS[stream], data))
                    case Exit() as ended:
                        await exchange.write(frame(protocol.EXIT, write_exit(ended)))

    async def _prepare(self, exchange: Duplex, caller: Caller) -> None:
        body = bytearray()
        async for data in exchange.body:
            body += data
            if len(body) > _BODY:
                raise UsageError(f"the body must be of at most {_BODY} bytes")
        function = self._policed(read_function(bytes(body)), caller)
        with self._guard.noting(caller, "prepare", image=function.image):
            await self._docker.prepare(function)
        await exchange.answer(204, b"")

    async def _kill(self, exchange: Duplex, caller: Caller, *, call: str) -> None:
        live = self._found(caller, call)
        query = parse_qs(exchange.scope["query_string"].decode("latin-1"))
        number = (query.get("signal") or ["9"])[-1]
        if not number.isdecimal() or not 1 <= int(number) <= 64:
            raise UsageError(f"signal: {number!r} must be 1 to 64")
        if live.container is not None:
            with self._guard.noting(caller, "kill", container=container_name(call)):
                await live.container.kill(int(number))
        await exchange.answer(204, b"")

    async def _leave(self, exchange: Duplex, caller: Caller, *, call: str) -> None:
        live = self._found(caller, call)
        with self._guard.noting(caller, "end", container=container_name(call)):
            if live.work is not None:
                live.work.cancel()
            await live.over.wait()
        await exchange.answer(204, b"")

    # ---- what is asked for -----------------------------------------------------------------

    def _found(self, caller: Caller, call: str) -> _Live:
        live = self._live.get((caller.name, call))
        if live is None:
            raise NotFound("there is no such call under way")
        return live

    def _checked(self, asked: Asked, caller: Caller) -> Asked:
        function = self._policed(asked.invocation.function, caller)
        return replace(asked, invocation=replace(asked.invocation, function=function))

    def _policed(self, function: Function, caller: Caller) -> Function:
        try:
            policed = policed_function(function, caller, policy=self._guard.policy(caller))
        except Forbidden:
            with self._guard.noting(caller, "call", image=function.image):
                raise
        own = policed.limits.timeout
        if self._timeout is None or (own is not None and own <= self._timeout):
            return policed
        return replace(policed, limits=replace(policed.limits, timeout=self._timeout))

    # ---- answers -------------------------------------------------------------------------

    async def _refuse(self, exchange: Duplex, error: WherryError) -> None:
        if exchange.started:
            raise error
        status, headers = _status_of(error), [(b"content-type", b"application/json")]
        if isinstance(error, Fault):
            headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
        body = json.dumps(_document(self._plain(error))).encode()
        await exchange.answer(status, body, headers=[*headers, (b"connection", b"close")])

    def _plain(self, error: WherryError) -> WherryError:
        """Return an error without where the engine is: that is nobody's but the server's."""
        place = str(self._docker.client.address)
        if place not in str(error):
            return error
        kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "wherry.errors")
        made: WherryError = kind(str(error).replace(f"engine {place}", "its engine"))
        return made


async def _ping(exchange: Duplex) -> None:
    """Send nothing every few seconds; a client that is gone then resets the connection."""
    while True:
        await asyncio.sleep(_PING_SECONDS)
        await exchange.write(frame(protocol.PING))


def _failure(error: WherryError) -> bytes:
    return frame(protocol.FAILED, json.dumps(_document(error)).encode())


def _document(error: WherryError) -> dict[str, str]:
    told = write_error(error)
    match error:
        case Forbidden():
            return {**told, "type": "UsageError"}
        case Fault(status=429 | 503):
            return {**told, "type": "Busy"}
    return told


def _status_of(error: WherryError) -> int:
    match error:
        case Fault():
            return error.status
        case NotFound():
            return 404
        case Conflict():
            return 409
        case UsageError():
            return 400
        case Busy():
            return 503
    return 500
