"""Websockets of functions whose programs are HTTP servers: messages go through, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from wherry.errors import EngineError, WherryError
from wherry.models import CHUNK
from wherry.service.live import CallerLeft
from wherry.service.outcome import status_of_error
from wherry.triggers.http.heads import call_id
from wherry.triggers.http.hops import Headers, end_to_end, raw_rest, request_headers

if TYPE_CHECKING:
    import socket

    from starlette.types import Message, Receive, Scope, Send

    from wherry.functions.model import Deployed
    from wherry.service.connected import ConnectedCall
    from wherry.triggers.http.parts import Parts

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message, in either direction: it is handed on as a whole."""
_TOO_BIG = 1009
_UNSENDABLE = {1005: 1000, 1006: 1011, 1015: 1011}
"""Codes that stand for how a connection ended, and what is sent in their place."""


class Websocket:
    """One websocket, from its opening to the end of either side."""

    def __init__(self, parts: Parts, deployed: Deployed, rest: str) -> None:
        self._parts = parts
        self._deployed = deployed
        self._rest = rest
        self._accepted = False

    async def serve(self, scope: Scope, *, receive: Receive, send: Send) -> None:
        """Open, hand messages on in both directions, and close what is left."""
        await receive()  # "websocket.connect"
        try:
            await self._connect(scope, receive, send)
        except CallerLeft:
            return
        except TimeoutError:
            await _refuse(scope, send, 504, headers=[], body=b"the program did not answer\n")
        except (WherryError, OSError, RemoteProtocolError, LocalProtocolError) as error:
            if self._accepted:
                await send({"type": "websocket.close", "code": 1011, "reason": str(error)[:100]})
            else:
                line = f"{' '.join(str(error).split())}\n".encode()
                plain = [(b"content-type", b"text/plain; charset=utf-8")]
                await _refuse(scope, send, status_of_error(error), headers=plain, body=line)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._parts.service.connect(
            self._deployed, trigger="http", id=call_id(scope)
        ) as connected:
            line = _Line(connected)
            async with asyncio.timeout_at(connected.deadline):
                answer = await line.open(self._request(scope, connected))
            if isinstance(answer, RejectConnection):
                connected.finish(answer.status_code)
                body = await line.rejection(answer)
                headers = end_to_end(answer.headers)
                await _refuse(scope, send, answer.status_code, headers=headers, body=body)
                return
            connected.call.status = 101
            await send(
                {
                    "type": "websocket.accept",
                    "subprotocol": answer.subprotocol,
                    "headers": end_to_end(answer.extra_headers),
                }
            )
            self._accepted = True
            await _both(_inwards(receive, line), _outwards(line, send))
            connected.finish(101)

    def _request(self, scope: Scope, connected: ConnectedCall) -> Request:
        prefix = str(scope["path"]).removesuffix(self._rest)
        headers = request_headers(scope, call=connected.call.id, prefix=prefix)
        host = next((value for name, value in headers if name == b"host"), b"localhost")
        return Request(
            host=host.decode("latin-1"),
            target=raw_rest(scope, self._rest).decode("latin-1"),
            subprotocols=list(scope.get("subprotocols") or ()),
            extra_headers=[
                (name, value)
                for name, value in headers
                if name != b"host" and not name.startswith(b"sec-websocket-")
            ],
        )


class _Line:
    """A websocket to the server, spoken by wsproto."""

    def __init__(self, connected: ConnectedCall) -> None:
        self._call = connected.call
        self._socket: socket.socket = connected.connection
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._waiting: list[Event] = []
        self._sending = asyncio.Lock()

    async def open(self, request: Request) -> AcceptConnection | RejectConnection:
        await self.send(request)
        event = await self._next()
        if not isinstance(event, AcceptConnection | RejectConnection):
            raise EngineError("the function's program did not answer the opening of a websocket")
        return event

    async def rejection(self, head: RejectConnection) -> bytes:
        """Return the body of an answer that is no websocket."""
        body = b""
        while head.has_body and isinstance(event := await self._next(), RejectData):
            body += bytes(event.data)
            if event.body_finished or len(body) > CHUNK:
                break
        return body

    async def send(self, event: Event) -> None:
        async with self._sending:
            data = self._ws.send(event)
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def messages(self) -> AsyncIterator[str | bytes | CloseConnection]:
        """Yield whole messages, and the close that ends them."""
        parts: list[str | bytes] = []
        size = 0
        while True:
            event = await self._next()
            match event:
                case Ping():
                    await self.send(event.response())
                case TextMessage() | BytesMessage():
                    data = event.data if isinstance(event, TextMessage) else bytes(event.data)
                    size += len(data)
                    if size > MAX_MESSAGE:
                        yield CloseConnection(code=_TOO_BIG, reason="the message is too large")
                        return
                    parts.append(data)
                    if event.message_finished:
                        self._call.stdout_bytes += size
                        yield _joined(parts)
                        parts, size = [], 0
                case CloseConnection():
                    yield event
                    return

    async def _next(self) -> Event:
        while not self._waiting:
            data = await asyncio.get_running_loop().sock_recv(self._socket, CHUNK)
            self._ws.receive_data(data or None)
            self._waiting += self._ws.events()
            if not data and not self._waiting:
                raise EngineError("the function's program has closed the connection")
        return self._waiting.pop(0)


async def _inwards(receive: Receive, line: _Line) -> None:
    """Hand on what the client says, to its close."""
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or 1000
            code = 1001 if code in _UNSENDABLE else code
            await line.send(CloseConnection(code=code, reason=message.get("reason") or ""))
            return
        if message.get("text") is not None:
            await line.send(TextMessage(data=message["text"]))
        else:
            await line.send(BytesMessage(data=message.get("bytes") or b""))


async def _outwards(line: _Line, send: Send) -> None:
    """Hand on what the program says, to its close."""
    async for message in line.messages():
        match message:
            case CloseConnection(code=code, reason=reason):
                sent = _UNSENDABLE.get(int(code), int(code))
                await send({"type": "websocket.close", "code": sent, "reason": reason or ""})
            case str():
                await send({"type": "websocket.send", "text": message})
            case bytes():
                await send({"type": "websocket.send", "bytes": message})


async def _both(*work: Any) -> None:  # noqa: ANN401 - coroutines
    """Do both until the first has ended, and raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _refuse(scope: Scope, send: Send, status: int, *, headers: Headers, body: bytes) -> None:
    """Answer the opening as any request, where the server can; else it says 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


def _joined(parts: list[str | bytes]) -> str | bytes:
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if isinstance(part, bytes))
