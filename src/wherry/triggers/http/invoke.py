"""``/function/NAME[.NAMESPACE][/REST]``: a request is a call, its answer is what it wrote."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wherry.errors import Busy, NotFound, UsageError, WherryError
from wherry.models import Exit
from wherry.service.live import CallerLeft
from wherry.service.outcome import describe_timeout, status_of_error, status_of_exit
from wherry.triggers.http.environment import http_environment
from wherry.triggers.http.errors import plain
from wherry.triggers.http.heads import Head, call_id, media_type, timeout_asked, wants
from wherry.web.duplex import AnswerCut, Duplex, HeldAnswer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.functions.model import Deployed, Mode
    from wherry.service.live import LiveCall
    from wherry.triggers.http.parts import Parts

PREFIX = "/function/"
INSIDE = "wherry.inside"
"""ASGI extension: finds the application for a path of this server, where a function has it."""


class Invoke:
    """The ASGI application below ``/function/``.

    ``modes`` are the applications that answer for functions that are no plain programs: they
    find the function in ``scope["wherry.function"]`` and its path in ``scope["wherry.path"]``.
    """

    def __init__(self, parts: Parts, *, modes: dict[Mode, ASGIApp] | None = None) -> None:
        self._parts = parts
        self._modes = modes or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or a websocket of a function that speaks HTTP."""
        name, rest = split_path(scope)
        try:
            deployed = self._parts.service.find(name)
        except UsageError as error:
            status = 404 if isinstance(error, NotFound) else 400
            await plain(status, str(error))(scope, receive, send)
            return
        await self.serve(deployed, rest, scope=scope, receive=receive, send=send)

    async def serve(
        self, deployed: Deployed, rest: str, *, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request to a function that was found; ``rest`` is its own path."""
        guard = self._parts.guard
        if guard is not None and (refusal := await guard.call_refusal(scope, deployed)):
            await refusal(scope, receive, send)
            return
        scope["wherry.function"], scope["wherry.path"] = deployed, rest
        if (other := self._modes.get(deployed.settings.mode)) is not None:
            await other(scope, receive, send)
            return
        if scope["type"] != "http":
            await plain(404, f"function {deployed.name!r} speaks no websocket")(
                scope, receive, send
            )
            return
        await Answering(self._parts, deployed, rest).answer(scope, receive=receive, send=send)


class Answering:
    """One call of a plain program, from its request to its answer."""

    def __init__(self, parts: Parts, deployed: Deployed, rest: str) -> None:
        self._parts = parts
        self._deployed = deployed
        self._rest = rest

    async def answer(self, scope: Scope, *, receive: Receive, send: Send) -> None:
        """Call the function; raises :class:`AnswerCut` when its answer broke off."""
        limit = self._deployed.settings.max_body
        largest = self._parts.options.max_body if limit is None else limit
        head = Head(began=time.time())
        exchange = Duplex(scope, receive=receive, send=send, max_body=largest)
        try:
            head.id = scope["wherry.call"] = call_id(scope)
            async with exchange:
                await self._call(exchange, head)
        except CallerLeft:
            return
        except (WherryError, OSError) as error:
            await self._fail(exchange, head, error)

    async def _call(self, exchange: Duplex, head: Head) -> None:
        scope = exchange.scope
        asked = wants(scope)
        held = HeldAnswer(exchange, live=asked.live is not None or self._deployed.settings.stream)
        async with self._parts.service.call(
            self._deployed,
            exchange.body,
            trigger="http",
            id=head.id,
            env=http_environment(scope, path=self._rest),
            timeout=timeout_asked(scope),
        ) as live:
            async for event in live:
                if isinstance(event, Exit):
                    await self._end(live, held, event, head=head, exchange=exchange)
                elif event.stream == "stdout" and await held.write(event.data):
                    content = media_type(self._deployed, scope, data=held.held)
                    await held.go_live(200, head.headers(content))

    async def _end(
        self, live: LiveCall, held: HeldAnswer, ended: Exit, *, head: Head, exchange: Duplex
    ) -> None:
        status = status_of_exit(ended)
        live.finish(status)
        if held.live:
            if not ended.ok:
                raise AnswerCut(f"function {self._deployed.name!r} {ended.describe()}")
            await exchange.end()
            return
        if ended.reason == "timeout":
            line = f"{describe_timeout(live.call)}\n".encode()
            headers = head.headers("text/plain; charset=utf-8", ended=ended)
            await held.finish(status, headers=headers, body=line)
            return
        body = held.held
        if not ended.ok and wants(exchange.scope).stderr:
            body += bytes(live.call.stderr_tail)
        content = media_type(self._deployed, exchange.scope, data=body)
        await held.finish(status, headers=head.headers(content, ended=ended), body=body)

    async def _fail(self, exchange: Duplex, head: Head, error: WherryError | OSError) -> None:
        if isinstance(error, AnswerCut):
            raise error
        if exchange.started:
            raise AnswerCut(str(error)) from error
        status = status_of_error(error)
        headers = dict(head.texts())
        if isinstance(error, Busy):
            headers["Retry-After"] = "1"
        if status == 413:
            headers["Connection"] = "close"
        await plain(status, str(error), headers=headers)(
            exchange.scope, exchange.receive, exchange.send
        )


def split_path(scope: Scope) -> tuple[str, str]:
    """Return the function's name and the path below it: ``/`` at least."""
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    name, slash, rest = path.removeprefix(PREFIX).partition("/")
    return name, f"/{rest}" if slash else "/"
