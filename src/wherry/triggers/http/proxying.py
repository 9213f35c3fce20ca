"""Functions whose programs are HTTP servers: requests go through, and answers come back."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import h11

from wherry import streams
from wherry.errors import EngineError
from wherry.models import CHUNK
from wherry.service.outcome import describe_timeout
from wherry.triggers.http.errors import Refused
from wherry.triggers.http.heads import timeout_asked
from wherry.triggers.http.hops import end_to_end, raw_rest, request_headers
from wherry.triggers.http.invoke import Answering
from wherry.triggers.http.websockets import Websocket
from wherry.web.duplex import AnswerCut, Duplex, content_length

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from wherry.service.connected import ConnectedCall
    from wherry.triggers.http.heads import Head
    from wherry.triggers.http.parts import Parts

_MAX_HEAD = 64 * 1024


class Proxy:
    """The ASGI application of functions of mode ``http``.

    The function is found in ``scope["wherry.function"]``, its own path in
    ``scope["wherry.path"]``.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one websocket."""
        deployed, rest = scope["wherry.function"], scope["wherry.path"]
        if scope["type"] == "websocket":
            await Websocket(self._parts, deployed, rest).serve(scope, receive=receive, send=send)
            return
        await _Proxying(self._parts, deployed, rest).answer(scope, receive=receive, send=send)


class _Proxying(Answering):
    """One request to a server in a container."""

    async def answer(self, scope: Scope, *, receive: Receive, send: Send) -> None:
        """Hand the request on, and its answer back."""
        try:
            await super().answer(scope, receive=receive, send=send)
        except Refused as refused:
            await refused.response()(scope, receive, send)

    async def _call(self, exchange: Duplex, head: Head) -> None:
        async with self._parts.service.connect(
            self._deployed, trigger="http", id=head.id, timeout=timeout_asked(exchange.scope)
        ) as connected:
            try:
                async with asyncio.timeout_at(connected.deadline) as limit:
                    await self._exchange(exchange, connected, head=head, limit=limit)
            except TimeoutError as error:
                if exchange.started:
                    connected.finish()
                    raise AnswerCut(describe_timeout(connected.call)) from error
                connected.finish(504)
                text, headers = describe_timeout(connected.call), dict(head.texts())
                raise Refused(504, text, headers=headers) from error

    async def _exchange(
        self, exchange: Duplex, connected: ConnectedCall, *, head: Head, limit: asyncio.Timeout
    ) -> None:
        line = _Line(connected)
        sending = asyncio.create_task(self._send(exchange, line))
        sending.add_done_callback(line.hear_of)
        try:
            response = await line.response()
            if _is_endless(response):
                limit.reschedule(None)
            await self._respond(exchange, response, head=head)
            async for data in line.body():
                await exchange.write(data)
            connected.finish(response.status_code)
            await exchange.end()
        except (h11.ProtocolError, OSError) as error:
            raise line.failure or self._broken(error) from error
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    async def _send(self, exchange: Duplex, line: _Line) -> None:
        scope, body = exchange.scope, exchange.body
        target = raw_rest(scope, self._rest)
        prefix = str(scope["path"]).removesuffix(self._rest)
        headers = request_headers(scope, call=line.call.id, prefix=prefix)
        if body is not streams.NOTHING and content_length(scope) is None and has_told_body(scope):
            headers.append((b"transfer-encoding", b"chunked"))
        headers.append((b"connection", b"close"))
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer tells why, or is none
            await line.send(h11.Request(method=scope["method"], target=target, headers=headers))
            async for data in body:
                line.call.stdin_bytes += len(data)
                await line.send(h11.Data(data=data))
            await line.send(h11.EndOfMessage())

    async def _respond(self, exchange: Duplex, response: h11.Response, *, head: Head) -> None:
        ours = [(name.lower().encode(), value.encode()) for name, value in head.texts()]
        said = {name for name, _ in response.headers}
        headers = end_to_end(response.headers)
        headers += [(name, value) for name, value in ours if name not in said]
        await exchange.start(response.status_code, headers)

    def _broken(self, error: Exception) -> EngineError:
        return EngineError(
            f"function {self._deployed.name!r} ended its answer before it was complete: {error}"
        )


class _Line:
    """A connection to the server, spoken by h11."""

    def __init__(self, connected: ConnectedCall) -> None:
        self.call = connected.call
        self.failure: Exception | None = None
        """What kept the request from being sent."""
        self._socket = connected.connection
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)

    def hear_of(self, sending: asyncio.Task[None]) -> None:
        """End the connection when the request could not be sent, which ends the answer."""
        error = None if sending.cancelled() else sending.exception()
        if isinstance(error, Exception):
            self.failure = error
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    async def send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def response(self) -> h11.Response:
        while not isinstance(event := await self._next(), h11.Response):
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise h11.RemoteProtocolError("it sent no answer")
        self.call.first_byte = time.time()
        return event

    async def body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), h11.Data):
            self.call.stdout_bytes += len(event.data)
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise h11.RemoteProtocolError("the connection was closed")

    async def _next(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await asyncio.get_running_loop().sock_recv(self._socket, CHUNK))
        return event


def has_told_body(scope: Scope) -> bool:
    """Whether a body of unknown length is handed on; HTTP/2 does not say that there is none."""
    return scope["method"] not in {"GET", "HEAD"} or any(
        name == b"transfer-encoding" for name, _ in scope["headers"]
    )


def _is_endless(response: h11.Response) -> bool:
    """Whether an answer is a stream of events, which has no time to be over at."""
    return any(
        name == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in response.headers
    )
