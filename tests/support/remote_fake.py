"""The remote container API around a fake that answers what it was told to."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.wire_client import Wire, wire

from wherry.models import Exit, Output
from wherry.remote.api import Api
from wherry.remote.app import Remote
from wherry.remote.auth import Auth
from wherry.remote.model import (
    NO_TEXT,
    Caller,
    ExecRequest,
    LogsRequest,
    PullRequest,
    Row,
    Running,
    RunRequest,
)
from wherry.remote.settings import RemoteSettings
from wherry.remote.tokens import Tokens
from wherry.remote.windows import Limits

TOKEN = "s3cret:with/colon"
BASIC = f"Basic {base64.b64encode(TOKEN.encode()).decode()}"
ID = "f" * 64


@dataclass
class Fake:
    """Implements ``Containers``: answers what it was told to, and notes what it was asked."""

    events: Sequence[Output | Exit] = (Output("stdout", b"hi\n"), Exit(0))
    error: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    forever: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def list(self, caller: Caller, *, labels: Mapping[str, str] = NO_TEXT) -> Sequence[Row]:
        self.note(("list", caller.name))
        return [
            Row(id=ID, name="box", labels={}, columns={"container id": ID[:12], "names": "box"})
        ]

    @asynccontextmanager
    async def logs(
        self, caller: Caller, request: LogsRequest
    ) -> AsyncIterator[AsyncIterator[Output]]:
        self.note(request)
        yield (event async for event in self._events() if isinstance(event, Output))

    @asynccontextmanager
    async def run(self, caller: Caller, request: RunRequest) -> AsyncIterator[Running]:
        self.note(request)
        try:
            yield Running(ID, self._events())
        finally:
            self.left.set()

    async def detach(self, caller: Caller, request: RunRequest) -> str:
        self.note(request)
        return ID

    @asynccontextmanager
    async def exec(self, caller: Caller, request: ExecRequest) -> AsyncIterator[Running]:
        self.note(request)
        if request.stdin is not None:
            given = b"".join([chunk async for chunk in request.stdin])
            self.events = (Output("stdout", given), Exit(0))
        yield Running(ID, self._events())

    async def remove(self, caller: Caller, container: str) -> None:
        self.note(container)

    async def pull(self, caller: Caller, request: PullRequest) -> None:
        self.note(request)

    async def inspect(self, caller: Caller, container: str) -> Mapping[str, Any]:
        self.note(container)
        return {"Id": ID}

    async def _events(self) -> AsyncIterator[Any]:
        for event in self.events:
            yield event
        if self.forever:
            await asyncio.Event().wait()


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def remote(fake: Fake, *, clock: Clock | None = None, **settings: Any) -> Remote:
    usual: dict[str, Any] = {"low_burst": 0, "mid_burst": 0, "high_burst": 0, "token": TOKEN}
    made = RemoteSettings(**(usual | settings))
    clock = clock or Clock()
    return Remote(
        Api(fake, made),
        auth=Auth(Tokens(single=TOKEN)),
        limits=Limits(made, clock=clock, wall=clock),
        settings=made,
    )


Reply = tuple[int, dict[str, str], bytes]


async def ask(
    app: Remote,
    method: str,
    path: str = "/",
    body: bytes = b"",
    *,
    kind: str = "application/x-www-form-urlencoded",
    auth: str | None = BASIC,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    told = {"host": "x", "content-type": kind, "content-length": str(len(body))}
    told |= {"authorization": auth} if auth else {}
    told |= {"connection": "close"} | dict(headers or {})
    async with wire(app) as client:
        await send(client, method, path, told, body)
        if method != "HEAD":
            return await client.answer()
        head = (await client.until(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        pairs = dict(line.split(": ", 1) for line in head[1:-2])
        return int(head[0].split()[1]), pairs, await client.rest()


async def send(
    client: Wire, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> None:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    await client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def error_of(reply: Reply) -> Any:
    return json.loads(reply[2])
