"""The remote container API as an ASGI application: who asks, what, how often, and the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

from wherry.errors import WherryError
from wherry.remote import answers
from wherry.remote.api import nothing_there
from wherry.remote.bodies import fields_of, too_large
from wherry.remote.faults import Fault, Malformed
from wherry.remote.model import NO_TEXT, Answer, Call
from wherry.remote.windows import burst_of
from wherry.service.live import CallerLeft
from wherry.web.duplex import AnswerCut, Duplex, content_length

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from wherry.remote.auth import Auth
    from wherry.remote.model import Caller, Handler
    from wherry.remote.settings import RemoteSettings
    from wherry.remote.windows import Burst, Limits

BYTES = "application/octet-stream"
_LEFT = 499
_BODY_SECONDS = 30.0
_access = logging.getLogger("wherry.access")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is answered at a path of its own, besides containers."""

    answer: Callable[[Caller | None], Awaitable[Answer]]
    is_open: bool = False
    """Whether no token is asked for; the caller is None then."""


class Below(Protocol):
    """What answers everything below a path by itself, after somebody was let in."""

    def burst(self, method: str, path: str) -> Burst | None:
        """Return what a request counts as; None for one that ends something."""
        ...

    async def serve(self, scope: Scope, *, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer one request."""
        ...


def nobody(scope: Scope) -> str | None:
    """Say that no request was handed on by another server."""
    del scope
    return None


class Remote:
    """One server; ``handler`` answers what was let in."""

    def __init__(
        self,
        handler: Handler,
        *,
        auth: Auth,
        limits: Limits,
        settings: RemoteSettings,
        pages: Mapping[str, Page] | None = None,
        below: Mapping[str, Below] | None = None,
        speaks_for: Callable[[Scope], str | None] = nobody,
        leave: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``pages`` are answered for GET by path, ``below`` by what a path begins with.

        ``speaks_for`` returns the client's address for a request that another server of ours has
        counted and handed on, and None for any other. ``leave`` tells those servers that this one
        is about to stop.
        """
        self._handler = handler
        self._auth = auth
        self._limits = limits
        self._settings = settings
        self._pages = dict(pages or {})
        self._below = dict(below or {})
        self._speaks_for = speaks_for
        self._leave = leave

    async def leave(self) -> None:
        """Have other servers of ours hand nothing on to this one any more."""
        if self._leave is not None:
            await self._leave()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves ends what it asked for."""
        if scope["type"] != "http":
            return
        begun, status = time.perf_counter(), _LEFT
        known: list[Caller] = []

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        below = next((b for path, b in self._below.items() if scope["path"].startswith(path)), None)
        try:
            if below is None:
                async with Duplex(scope, receive=receive, send=noting) as exchange:
                    await _send(exchange, await self._answer(scope, exchange, known))
            elif (caller := await self._below_for(below, scope, receive, noting)) is not None:
                known.append(caller)
                await below.serve(scope, receive=receive, send=noting, caller=caller)
        except CallerLeft:
            status = _LEFT
        finally:
            _note(scope, status=status, seconds=time.perf_counter() - begun, known=known)

    async def _below_for(
        self, below: Below, scope: Scope, receive: Receive, send: Send
    ) -> Caller | None:
        """Return who asks for something below a path; None when they were refused."""
        try:
            caller = self._let_in(scope)
            self._limits.count(below.burst(scope["method"], scope["path"]), caller)
        except WherryError as error:
            async with Duplex(scope, receive=receive, send=send) as exchange:
                await _send(exchange, answers.failure(error, strict=True))
            return None
        return caller

    async def _answer(self, scope: Scope, exchange: Duplex, known: list[Caller]) -> Answer:
        try:
            return await self._admit(scope, exchange, known)
        except WherryError as error:
            if isinstance(error, CallerLeft | AnswerCut):
                raise
            return answers.failure(error, strict=self._settings.strict)
        except Exception:  # noqa: BLE001 - whatever it is, a stranger hears nothing of it
            _log.exception("a mistake in the remote container API")
            return answers.mistake()

    async def _admit(self, scope: Scope, exchange: Duplex, known: list[Caller]) -> Answer:
        page = self._pages.get(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if page is not None and page.is_open:
            return await page.answer(None)
        client = self._speaks_for(scope)
        caller = self._let_in(scope, client)
        known.append(caller)
        call = await self._read(scope, exchange, caller)
        counted = NO_TEXT
        if client is None:
            counted = self._limits.count(burst_of(call.method, call.target), caller)
        try:
            answer = await (self._handler(call) if page is None else page.answer(caller))
        except WherryError as error:
            answer = answers.failure(error, strict=self._settings.strict)
        return _with(answer, counted)

    def _let_in(self, scope: Scope, client: str | None = None) -> Caller:
        """Return who asks; ``client`` is the address that another server speaks for."""
        peer = scope.get("client")
        address = client or (peer[0] if peer else None)
        return self._auth.caller(scope["headers"], address=address)

    async def _read(self, scope: Scope, exchange: Duplex, caller: Caller) -> Call:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "")
        streams = kind.partition(";")[0].strip().lower() == BYTES and scope["method"] == "POST"
        body = b"" if streams else await self._body(scope, exchange)
        fields = fields_of(body, content_type=kind)
        call = Call(
            method=scope["method"],
            target="",
            query=_query(scope["query_string"]),
            fields=fields,
            body=body,
            content_type=kind,
            headers=headers,
            caller=caller,
            stdin=exchange.body if streams else None,
        )
        return _at(call, scope.get("raw_path") or scope["path"].encode())

    async def _body(self, scope: Scope, exchange: Duplex) -> bytes:
        limit = self._settings.body_limit
        length = content_length(scope)
        if length is not None and length > limit:
            raise too_large(limit)
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for piece in exchange.body:
                    body += piece
                    if len(body) > limit:
                        raise too_large(limit)
        except TimeoutError as error:
            raise Fault(f"the body took longer than {_BODY_SECONDS:g} s", status=408) from error
        return bytes(body)


def _query(raw: bytes) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise Malformed("the query is not UTF-8") from error


def _at(call: Call, path: bytes) -> Call:
    """Return the call with what its path names; only an image's name has slashes in it."""
    raw = path.removeprefix(b"/")
    try:
        target = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise Malformed("the path is not UTF-8") from error
    if call.method == "HEAD":
        return replace(call, target=target)
    if b"/" in raw.removesuffix(b"/"):
        raise nothing_there(replace(call, target=target))
    return replace(call, target=target.removesuffix("/"))


def _with(answer: Answer, headers: Mapping[str, str]) -> Answer:
    return replace(answer, headers={**headers, **answer.headers}) if headers else answer


async def _send(exchange: Duplex, answer: Answer) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1", "replace"))
               for name, value in answer.headers.items()]  # fmt: skip
    if isinstance(answer.body, bytes):
        await exchange.answer(answer.status, answer.body, headers=headers)
        return
    pieces = answer.body
    try:
        await exchange.start(answer.status, headers)
        async for piece in pieces:
            await exchange.write(piece)
    except WherryError as error:
        if isinstance(error, CallerLeft):
            raise
        raise AnswerCut(str(error)) from error
    finally:
        if (close := getattr(pieces, "aclose", None)) is not None:
            await close()
    await exchange.end()


def _note(scope: Scope, *, status: int, seconds: float, known: list[Caller]) -> None:
    """Log a request: never its body or its query."""
    client = scope.get("client")
    access = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 1),
        "client": client[0] if client else None,
        "caller": known[0].name if known else None,
    }
    _access.info("request", extra={"access": access})
