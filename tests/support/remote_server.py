"""A remote container API on a real socket, inside the test's own process."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from wherry.engines.docker.engine import DockerEngine
from wherry.remote.settings import RemoteSettings
from wherry.server import remoting
from wherry.server.listening import Listening
from wherry.server.sockets import bind

TOKEN = "a-secret-of-the-tests"


@dataclass(frozen=True)
class Reply:
    """What came back, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RemoteClient:
    """Asks over connections that are closed after every request."""

    def __init__(self, host: str, port: int, *, token: str | None = TOKEN) -> None:
        self.host = host
        self.port = port
        self.url = f"http://{host}:{port}"
        self.token = token

    async def ask(
        self,
        method: str,
        path: str = "/",
        body: bytes | str | Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask: a mapping is sent as JSON, text as a form."""
        reader, writer = await self.send(method, path, body, headers=headers)
        try:
            async with asyncio.timeout(60):
                return await read_reply(reader, method=method)
        finally:
            writer.close()

    async def send(
        self,
        method: str,
        path: str = "/",
        body: bytes | str | Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request, and leave the rest to the test."""
        told = {"host": "test", "connection": "close"}
        if self.token is not None:
            told["authorization"] = f"Basic {base64.b64encode(self.token.encode()).decode()}"
        data = b""
        if isinstance(body, Mapping):
            data, told["content-type"] = json.dumps(body).encode(), "application/json"
        elif isinstance(body, str):
            data, told["content-type"] = body.encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            data = body
        if body is not None:
            told["content-length"] = str(len(data))
        told |= headers or {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + data)
        return reader, writer


async def read_reply(reader: asyncio.StreamReader, *, method: str = "GET") -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(map(_pair, head[1:-2]))
    status = int(head[0].split()[1])
    if method == "HEAD":
        return Reply(status, headers, await reader.read())
    if headers.get("transfer-encoding") == "chunked":
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
        return Reply(status, headers, b"".join(pieces))
    return Reply(status, headers, await reader.readexactly(int(headers["content-length"])))


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value


@asynccontextmanager
async def remote_server(spec: str, **settings: Any) -> AsyncIterator[RemoteClient]:
    """Serve an engine on a free port of the loopback, without limits unless they are asked for."""
    usual: dict[str, Any] = {"low_burst": 0, "mid_burst": 0, "high_burst": 0, "token": TOKEN}
    asked = RemoteSettings(host="127.0.0.1", port=0, engine=spec, **(usual | settings))
    listeners = bind(["127.0.0.1:0"])
    engine = DockerEngine.connect(spec)
    async with remoting.assembled(asked, engine, listeners=listeners) as app:
        listening = Listening(app, listeners)
        await listening.start()
        host, _, port = listening.addresses[0].rpartition(":")
        try:
            yield RemoteClient(host, int(port), token=asked.token)
        finally:
            await listening.stop(grace=0.0)
