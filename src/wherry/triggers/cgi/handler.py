"""Answering requests by CGI programs, one container for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import TYPE_CHECKING

from wherry import config, streams
from wherry.models import Exit
from wherry.service.allowance import allowance
from wherry.service.outcome import describe_timeout
from wherry.triggers.cgi.answer import BadAnswer, Head, HeadReader
from wherry.triggers.cgi.environment import CgiOptions, meta_variables
from wherry.triggers.cgi.spool import Spool
from wherry.triggers.http.errors import Refused
from wherry.triggers.http.heads import timeout_asked
from wherry.triggers.http.invoke import INSIDE, Answering
from wherry.web.duplex import AnswerCut, Duplex, content_length

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from wherry.functions.model import Deployed
    from wherry.service.live import LiveCall
    from wherry.triggers.http.heads import Head as CallHead
    from wherry.triggers.http.parts import Parts

MAX_REDIRECTS = 10
Inside = Callable[[str], "ASGIApp | None"]
"""Finds what answers for a path of this server that a program redirects to; None: the client is
sent there."""
_REDIRECTS = "wherry.redirects"
_OF_BODIES = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"expect"})


class Cgi:
    """The ASGI application of functions that are CGI programs.

    The function is found in ``scope["wherry.function"]``, its own path in
    ``scope["wherry.path"]``; what comes before that is its root.
    """

    def __init__(
        self, parts: Parts, *, options: CgiOptions | None = None, inside: Inside | None = None
    ) -> None:
        """Without ``inside``, the server around is asked (``wherry.triggers.http.invoke``)."""
        self._parts = parts
        self._options = options or CgiOptions()
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        answering = _CgiAnswering(self._parts, scope["wherry.function"], scope["wherry.path"])
        answering.options = self._options
        await answering.answer(scope, receive=receive, send=send)
        if answering.redirect is not None:
            await self._redirect(answering.redirect, scope, receive, send)

    async def _redirect(self, to: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in place of the first program, or send the client there."""
        path, _, query = to.partition("#")[0].partition("?")
        count = scope.get(_REDIRECTS, 0) + 1
        inside = self._inside or scope.get(INSIDE)
        app = inside(path) if inside is not None else None
        if count > MAX_REDIRECTS:
            message = f"more than {MAX_REDIRECTS} redirects inside of this server, the last to {to}"
            await Refused(502, message).response()(scope, receive, send)
        elif app is None:
            refused = Refused(302, f"see {to}", headers={"Location": to})
            await refused.response()(scope, receive, send)
        else:
            headers = [(name, value) for name, value in scope["headers"] if name not in _OF_BODIES]
            inner = {
                **scope,
                "method": "GET",
                "path": _unquoted(path),
                "raw_path": path.encode("latin-1"),
                "query_string": query.encode("latin-1"),
                "headers": headers,
                _REDIRECTS: count,
            }
            await app(inner, _without_body(receive), send)


class _CgiAnswering(Answering):
    """One call of a CGI program, from its request to its answer."""

    options: CgiOptions
    redirect: str | None = None
    """Where the program wants the request to be answered."""

    async def answer(self, scope: Scope, *, receive: Receive, send: Send) -> None:
        """Answer, or say what else is to be answered: see :attr:`redirect`."""
        try:
            await super().answer(scope, receive=receive, send=send)
        except Refused as refused:
            await refused.response()(scope, receive, send)

    async def _call(self, exchange: Duplex, head: CallHead) -> None:
        stdin, length = await self._input(exchange)
        try:
            await self._called(exchange, head, stdin=stdin, length=length)
        finally:
            await streams.close(stdin)

    async def _called(
        self, exchange: Duplex, head: CallHead, *, stdin: AsyncIterable[bytes], length: int | None
    ) -> None:
        scope = exchange.scope
        async with self._parts.service.call(
            self._deployed,
            stdin,
            trigger="cgi",
            id=head.id,
            env=self._environment(scope, length),
            timeout=timeout_asked(scope),
        ) as live:
            try:
                await self._answer(live, exchange, head)
            except BadAnswer as error:
                live.finish(502)
                message = f"function {self._deployed.name!r} is no CGI program: {error}"
                raise Refused(502, message, headers=dict(head.texts(live.call.exit))) from error

    def _environment(self, scope: Scope, length: int | None) -> dict[str, str]:
        own = self._deployed.function.env
        root = root_of(scope["path"], self._rest)
        inherited = {
            name: value
            for name in self.options.inherit
            if (value := config.variable(name)) is not None
        }
        found = meta_variables(scope, root=root, length=length)
        return {**found, **inherited, **self.options.env, **own}

    async def _input(self, exchange: Duplex) -> tuple[AsyncIterable[bytes], int | None]:
        """Return stdin and its length, for which a body of unknown length is stored first."""
        length = content_length(exchange.scope)
        if length is not None or exchange.body is streams.NOTHING:
            return exchange.body, length or None
        service = self._parts.service
        allowed = allowance(
            self._deployed, asked=timeout_asked(exchange.scope), maximum=service.max_timeout
        )
        spool = Spool(limit=self.options.max_body)
        try:
            async with asyncio.timeout(allowed.seconds):
                await spool.fill(exchange.body)
        except TimeoutError:
            await spool.aclose()
            raise Refused(408, f"the body did not arrive within {allowed.seconds:g} s") from None
        if spool.size:
            return spool, spool.size
        await spool.aclose()
        return streams.NOTHING, None

    async def _answer(self, live: LiveCall, exchange: Duplex, head: CallHead) -> None:
        reader = HeadReader()
        body: _Body | None = None
        async for event in live:
            if isinstance(event, Exit):
                await self._conclude(live, event, reader=reader, body=body)
            elif event.stream == "stdout" and body is not None:
                await body.write(event.data)
            elif event.stream == "stdout" and (found := reader.feed(event.data)) is not None:
                if found[0].redirect is not None:
                    self.redirect = found[0].redirect
                    live.finish(302)
                    return
                body = _Body(exchange, found[0])
                await body.begin(found[1], call=head.id)

    async def _conclude(
        self, live: LiveCall, ended: Exit, *, reader: HeadReader, body: _Body | None
    ) -> None:
        if ended.reason == "timeout" and body is None:
            live.finish(504)
            headers = {"X-Call-Id": live.call.id, "X-Exit-Reason": ended.reason}
            raise Refused(504, describe_timeout(live.call), headers=headers)
        if body is None:
            error = reader.finish()
            raise error if ended.ok else BadAnswer(f"it {ended.describe()}, and {error}")
        live.finish(body.head.status)
        if ended.reason != "exited":
            raise AnswerCut(f"function {self._deployed.name!r} {ended.describe()}")
        await body.end(self._deployed)


class _Body:
    """The answer on its way, no longer and no shorter than the program said it would be."""

    def __init__(self, exchange: Duplex, head: Head) -> None:
        self.head = head
        self._exchange = exchange
        self._is_sent = head.has_body and exchange.scope["method"] != "HEAD"
        self._left = head.length

    async def begin(self, data: bytes, *, call: str) -> None:
        headers = [*self.head.headers]
        if all(name != b"x-call-id" for name, _ in headers):
            headers.append((b"x-call-id", call.encode()))
        await self._exchange.start(self.head.status, headers)
        await self.write(data)

    async def write(self, data: bytes) -> None:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data and self._is_sent:
            await self._exchange.write(data)

    async def end(self, deployed: Deployed) -> None:
        if self._left and self._is_sent:
            raise AnswerCut(
                f"function {deployed.name!r} ended {self._left} bytes before its Content-Length"
            )
        await self._exchange.end()


def root_of(path: str, rest: str) -> str:
    """Return the part of a path that comes before the function's own."""
    return path.removesuffix(rest)


def _unquoted(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)


def _without_body(receive: Receive) -> Receive:
    """Receive as for a request without a body, whatever is left of the first one's."""
    told = False

    async def next_message() -> Message:
        nonlocal told
        if not told:
            told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while (message := await receive())["type"] == "http.request":
            pass
        return message

    return next_message
