"""A front with a handler of the test's own, and clients and engines made of bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

from wherry.engines.docker.address import Address
from wherry.proxy.front import Exchange, Front, Handler, Patience, Peer
from wherry.proxy.upstream import Answer, Hijacked, Upstream
from wherry.proxy.wires import SocketWire

SECONDS = 20.0
"""For what comes at once, on a machine that is busy."""


class Client:
    """The other end of a connection to a front, byte by byte."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self._loop = asyncio.get_running_loop()
        self._held = b""

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(SECONDS):
            await self._loop.sock_sendall(self.socket, data)

    async def receive(self) -> bytes:
        """Return what comes next, empty at the end."""
        if self._held:
            held, self._held = self._held, b""
            return held
        async with asyncio.timeout(SECONDS):
            return await self._loop.sock_recv(self.socket, 1 << 16)

    async def until(self, mark: bytes) -> bytes:
        """Return what comes up to a mark, the mark included."""
        data = b""
        while mark not in data:
            piece = await self.receive()
            assert piece, f"the end came before {mark!r}: {data[-500:]!r}"
            data += piece
        cut = data.index(mark) + len(mark)
        self._held = data[cut:]
        return data[:cut]

    async def rest(self) -> bytes:
        data = b""
        while piece := await self.receive():
            data += piece
        return data

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and the body of its answer, by its length."""
        await self.send(data)
        return await self.answer()

    async def answer(self) -> tuple[int, bytes]:
        head = await self.until(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = b""
        while len(body) < length:
            body += await self.receive()
        self._held = body[length:]
        return status, body[:length]

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


class Standing:
    """A front, and as many clients of it as a test wants."""

    def __init__(
        self, handler: Handler, patience: Patience, *, wire: type[SocketWire] = SocketWire
    ) -> None:
        self.front = Front(handler, patience=patience)
        self._wire = wire
        self.serving: list[asyncio.Task[None]] = []
        self._clients: list[Client] = []

    def client(self) -> Client:
        ours, theirs = socket.socketpair()
        wire = self._wire(theirs)
        serving = self.front.serve(wire, watched=theirs, peer=Peer("unix"))
        self.serving.append(asyncio.create_task(serving))
        self._clients.append(Client(ours))
        return self._clients[-1]

    async def stop(self) -> None:
        for client in self._clients:
            client.close()
        await self.front.stop(grace=SECONDS)
        await asyncio.gather(*self.serving)


@asynccontextmanager
async def standing(
    handler: Handler, patience: Patience | None = None, *, wire: type[SocketWire] = SocketWire
) -> AsyncIterator[Standing]:
    """Run a front; in the end every connection must be over by itself."""
    stand = Standing(handler, patience or Patience(), wire=wire)
    try:
        yield stand
    finally:
        await stand.stop()


async def echo(exchange: Exchange) -> None:
    """Answer with what was understood of the request."""
    request = exchange.request
    body = await request.body.read()
    text = f"{request.method} {request.target.decode()} {body!r}"
    await exchange.answer(200, text.encode(), content_type="text/plain")


EngineHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def engine(directory: Path, handle: EngineHandler) -> AsyncIterator[Upstream]:
    """Run an engine that does with a connection what a test says, and return the way to it."""
    path = str(directory / "engine.sock")
    closing: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing.append(writer)
        try:
            await handle(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(served, path)
    try:
        yield Upstream(Address(scheme="unix", path=path))
    finally:
        server.close()
        for writer in closing:
            writer.close()
        await server.wait_closed()


def passing(upstream: Upstream) -> Handler:
    """Return a handler without a policy: for tests of what is below one."""

    async def handle(exchange: Exchange) -> None:
        request = exchange.request
        path, _, query = request.target.decode().partition("?")
        pairs = dict(parse_qsl(query, keep_blank_values=True))
        path = "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
        headers = {
            name: value
            for name, value in request.headers
            if name in {"content-type", "sec-websocket-key", "sec-websocket-version"}
        }
        if request.upgrade or path.endswith(("/attach", "/start")):
            body = await request.body.read()
            async with upstream.hijack(
                request.method,
                path,
                query=pairs,
                headers=headers,
                body=body or None,
                upgrade=request.upgrade,
            ) as got:
                if isinstance(got, Hijacked):
                    await exchange.hijack(got)
                else:
                    await exchange.answer(got.status, await got.read())
            return
        body_of = None if request.body.length == 0 else request.body.stream(1 << 40)
        async with (
            exchange.while_present(),
            upstream.exchange(
                request.method, path, query=pairs, headers=headers, body=body_of, timeout=None
            ) as answer,
        ):
            if "content-length" in answer.headers or answer.status in (204, 304):
                data = await answer.read()
                await exchange.answer(answer.status, data, headers=told_of(answer))
            else:
                kind = answer.headers.get("content-type", "")
                await exchange.stream(
                    answer.status, answer.stream(), content_type=kind, headers=told_of(answer)
                )

    return handle


def told_of(answer: Answer) -> dict[str, str]:
    stat = "x-docker-container-path-stat"
    found = {stat: answer.headers[stat]} if stat in answer.headers else {}
    return {"Api-Version": "1.41", **found}
