"""Requests to other nodes."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from wherry.errors import EngineError
from wherry.remote.cluster.forwarded import handed_on
from wherry.remote.cluster.merging import HOST, Reply
from wherry.remote.cluster.sending import Sending
from wherry.remote.model import Answer

if TYPE_CHECKING:
    from wherry.remote.cluster.directory import Node
    from wherry.remote.cluster.seal import Seal
    from wherry.remote.model import Call

_T = TypeVar("_T")
_UNWANTED = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)
_READ_AT_ONCE = 64 * 1024
MOST = 16 * 1024 * 1024
"""Bytes of one node's answer that is merged with others."""


class NotAsked(EngineError):
    """A node that surely did not carry a request out: it never had the whole of it."""


class NoAnswer(EngineError):
    """A node that took a request and did not answer it: nobody knows what it did."""


class TooLarge(EngineError):
    """A node's answer has more bytes than can be merged; the node is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long another node is waited for, in seconds."""

    connect: float = 2.0
    accept: float = 3.0
    """Until it takes the body of a request."""
    silence: float = 2.0
    """Without a sign of it, until it is asked whether it is there."""
    probe: float = 4.0
    """Until it has to answer that."""
    lists: float = 10.0
    """For a list."""
    engine: float = 60.0
    """For another answer that takes no program's time: logs, a removal."""

    def bound(self, call: Call) -> float | None:
        """Return how long a whole answer may take; None: as long as its program does."""
        if not call.target:
            return self.lists
        return self.engine if call.method in {"GET", "DELETE"} else None


class Peers:
    """A client for other nodes: no redirects, no proxies, no cookies, and no second tries."""

    def __init__(
        self,
        *,
        seal: Seal,
        tls: ssl.SSLContext | None = None,
        patience: Patience | None = None,
        most: int = MOST,
        output: int = MOST,
    ) -> None:
        """Bound the bytes of one node's answer: ``output`` for an exec, which is not repeated."""
        self._seal = seal
        self._patience = patience or Patience()
        self._most = most
        self._output = output
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._probes: dict[str, tuple[float, asyncio.Task[None]]] = {}
        """The last one of each node, and when it was begun."""

    async def aclose(self) -> None:
        """Close what is open."""
        for _, probe in self._probes.values():
            await _ended(probe)
        if self._session is not None:
            await self._session.close()

    async def ask(self, node: Node, call: Call) -> Reply:
        """Return a node's whole answer; raises NoAnswer or TooLarge."""
        bound = self._patience.bound(call)
        try:
            async with asyncio.timeout(bound):
                return await self._ask(node, call)
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {bound:g} s") from error

    async def relay(self, node: Node, call: Call) -> Answer:
        """Hand a request on, and return the node's answer as it comes.

        Raises NotAsked when the node surely has not carried it out, otherwise NoAnswer.
        """
        sending = Sending(call)
        asking = asyncio.create_task(self._request(node, call, sending=sending))
        try:
            await self._taken(asking, sending)
            response = await self._attended(node, asking)
        except _BROKEN as error:
            kind = NoAnswer if sending.begun else NotAsked
            raise kind(_reason(error)) from error
        finally:
            await _ended(asking)
        headers = {**_kept(response.headers), HOST: node.host}
        return Answer(status=response.status, headers=headers, body=_Pieces(self, node, response))

    async def _taken(self, asking: asyncio.Task[Any], sending: Sending) -> None:
        """Wait until the node wants the body, or has answered without it."""
        begun = asyncio.create_task(sending.started.wait())
        try:
            patience = self._patience.connect + self._patience.accept
            await asyncio.wait(
                {asking, begun}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            begun.cancel()
        if not asking.done() and not sending.begun:
            sending.given_up = True
            raise TimeoutError

    async def _ask(self, node: Node, call: Call) -> Reply:
        sending = Sending(call)
        try:
            response = await self._attended(
                node, asyncio.create_task(self._request(node, call, sending=sending))
            )
            try:
                most = self._output if call.method == "POST" else self._most
                body = await self._attended(node, asyncio.create_task(_whole(response, most)))
            finally:
                response.close()
        except _BROKEN as error:
            raise NoAnswer(_reason(error)) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(host=node.host, status=response.status, headers=headers, body=body)

    async def _request(self, node: Node, call: Call, *, sending: Sending) -> aiohttp.ClientResponse:
        headers = handed_on(
            call.headers,
            method=call.method,
            target=call.target,
            client=call.caller.address or "",
            seal=self._seal,
            key=node.key,
        )
        if sending.has_body:
            headers |= sending.framing()
        return await self._open().request(
            call.method,
            URL(f"{node.host}/{quote(call.target, safe='')}{_query(call.query)}", encoded=True),
            data=sending.pieces() if sending.has_body else None,
            headers=headers,
            expect100=sending.has_body,
            allow_redirects=False,
        )

    async def _attended(self, node: Node, doing: asyncio.Task[_T]) -> _T:
        """Wait for a node as long as it takes, while the node is there at all."""
        try:
            while not (await asyncio.wait({doing}, timeout=self._patience.silence))[0]:
                await self._probe(node)
            return await doing
        finally:
            await _ended(doing)

    async def attended(self, node: Node, doing: Coroutine[Any, Any, _T]) -> _T:
        """Wait for something of a node; raises NoAnswer."""
        try:
            return await self._attended(node, asyncio.create_task(doing))
        except _BROKEN as error:
            raise NoAnswer(_reason(error)) from error

    async def _probe(self, node: Node) -> None:
        """Wait for a sign of life; raises TimeoutError or aiohttp's errors.

        Whoever waits for one node at the same time waits for one sign of it.
        """
        now = asyncio.get_running_loop().time()
        begun, task = self._probes.get(node.host, (float("-inf"), None))
        if task is None or now - begun >= self._patience.silence:
            task = asyncio.create_task(self._sign_of(node))
            task.add_done_callback(_noticed)
            self._probes[node.host] = now, task
        await asyncio.shield(task)

    async def _sign_of(self, node: Node) -> None:
        """Ask for anything; without a token, a node refuses at once and asks no engine."""
        async with (
            asyncio.timeout(self._patience.probe),
            self._open().get(f"{node.host}/", allow_redirects=False),
        ):
            pass

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A connection of its own for each request: one that was kept open may be closed by
            # the other end while a request is on its way, and then nobody knows what it did.
            connector = aiohttp.TCPConnector(
                limit=0, force_close=True, ssl=self._tls if self._tls is not None else True
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            )
        return self._session


class _Pieces:
    """The body of a node's answer, as it comes."""

    def __init__(self, peers: Peers, node: Node, response: aiohttp.ClientResponse) -> None:
        self._peers = peers
        self._node = node
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._peers.attended(self._node, self._response.content.readany())
        except NoAnswer as error:
            self._response.close()
            raise NoAnswer(f"the node {self._node.host} broke off: {error}") from error
        if not piece:
            self._response.close()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Leave the node, which ends what it does for us."""
        self._response.close()


_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


def _noticed(task: asyncio.Task[None]) -> None:
    """Look at how a probe ended, where nobody waits for it any more."""
    if not task.cancelled():
        task.exception()


async def _ended(task: asyncio.Task[Any]) -> None:
    """End a task, whose error nobody wants any more."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


async def _whole(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(_READ_AT_ONCE):
        body += piece
        if len(body) > most:
            raise TooLarge("its answer is too large to be merged")
    return bytes(body)


def _query(query: Mapping[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() not in _UNWANTED and not name.lower().startswith("x-ratelimit-")
    }


def _reason(error: BaseException) -> str:
    """Say what happened in words of ours: an answer's bytes are not put into messages."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorError():
            return "no connection" + (f": {os.strerror(error.errno)}" if error.errno else "")
        case TimeoutError():
            return "no sign of it in time"
        case aiohttp.ClientPayloadError():
            return "its answer broke off"
        case _:
            return "the connection was closed"
