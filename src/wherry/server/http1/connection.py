"""A client's connection: bytes in, requests out, one answer after the other."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from wherry.server.http1.exchange import Exchange
from wherry.server.http1.requests import Peers, peers_of, refusal, request_of, scope_of

if TYPE_CHECKING:
    from wherry.server.http1.host import Host

_log = logging.getLogger(__name__)
_RESET = struct.pack("ii", 1, 0)
_VERSIONS = frozenset({"1.0", "1.1"})
_PIPELINED = 64
"""Requests that may wait on one connection; what comes after them is not read."""
_TOO_LARGE = (431, "the headers are larger than is taken")


class _Refusal(Exception):
    """A request that is answered with a status and a line before anybody else sees it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)


class _Enough(Exception):
    """More requests are waiting than may."""


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.0 and 1.1 with one client; websockets are handed to uvicorn's protocol."""

    def __init__(self, host: Host, *, secure: bool = False) -> None:
        self.host = host
        self._secure = secure
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._fd = -1
        self._peers = Peers()
        self._exchanges: deque[Exchange] = deque()
        """The first is answered, the others wait for it."""
        self._reading: Exchange | None = None
        """The one whose body is being read."""
        self._paused = False
        self._watched = False
        self._hung_up = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._deaf = False
        """Whether what still comes is thrown away, until what came is answered."""
        self._upgrading: dict[str, Any] = {}
        self._in_headers = False
        self._header_bytes = 0
        self._unparsed = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []

    # ---- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        opened = transport.get_extra_info("socket")
        self._fd = opened.fileno()
        self._peers = peers_of(transport, secure=self._secure)
        is_one_too_many = len(self.host.connections) >= self.host.most
        self.host.connections.add(self)
        if is_one_too_many:
            self.write(refusal(503, "too many connections"))
            self.close()
            return
        self._arm(self.host.patience.headers, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who answers that the client has gone."""
        self.host.connections.discard(self)
        self._disarm()
        if self._watched:
            self.host.departures.forget(self._fd, self._hang_up)
            self._watched = False
        self._closing = True
        self._writable.set()
        for exchange in self._exchanges:
            exchange.depart()
        self._exchanges.clear()

    def eof_received(self) -> bool:
        """Take half a close for a whole one, as other servers do."""
        return False

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._closing or self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            match error.__context__:
                case _Enough():
                    self._deaf = True
                case _Refusal(args=(status, why)):
                    self._refuse(status, why)
                case _:
                    self._refuse(400, "this is no HTTP request")
            return
        if self._in_headers:  # the parser keeps a header that is not complete to itself
            self._unparsed += len(data)
            if self._unparsed > 2 * self.host.patience.header_bytes:
                self._refuse(*_TOO_LARGE)

    # ---- httptools -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = b""
        self._headers = []
        self._header_bytes = self._unparsed = 0
        self._in_headers = True
        if not self._exchanges:
            self._arm(self.host.patience.headers, self._too_slow)

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._count(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after the body are dropped."""
        if self._in_headers:
            self._count(len(name) + len(value) + len(b": \r\n"))
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin to answer, or to wait until what came before is answered."""
        self._in_headers = False
        self._disarm()
        version = self._parser.get_http_version()
        self._check(version)
        scope = scope_of(
            self._url,
            headers=self._headers,
            method=self._parser.get_method(),
            version=version,
            peers=self._peers,
        )
        if self._parser.should_upgrade():
            self._upgrading = scope  # the parser stops here, see _upgrade()
            return
        keep_alive = self._parser.should_keep_alive() and not self.host.stopping
        exchange = Exchange(self, scope, keep_alive=keep_alive)
        exchange.expects = version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers
        )
        self._reading = exchange
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            self._begin(exchange)
        else:
            self.pause()

    def on_body(self, data: bytes) -> None:
        """Hand on a piece of a body."""
        if self._reading is not None and not self._reading.feed(data):
            self.pause()

    def on_message_complete(self) -> None:
        """Note the end of a body."""
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.fed()
            if exchange.complete and not self._exchanges:
                self._rest(exchange)

    # ---- what exchanges ask ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write without waiting; see :meth:`drained`."""
        if data and not self._closing:
            self._transport.write(data)

    async def drained(self) -> bool:
        """Wait until the client takes more; False when it took nothing for too long."""
        if self._writable.is_set():
            return True
        try:
            async with asyncio.timeout(self.host.patience.stall):
                await self._writable.wait()
        except TimeoutError:
            self._transport.abort()
            return False
        return True

    def pause(self) -> None:
        """Read no more for now, and only hear when the client leaves."""
        if self._paused or self._closing:
            return
        self._paused = True
        self._transport.pause_reading()
        if not self._watched:
            self._watched = True
            self.host.departures.watch(self._fd, self._hang_up)
        elif self._hung_up:
            self._loop.call_soon(self._hang_up)

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self._closing and len(self._exchanges) <= 1:
            self._paused = False
            self._transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """Go on after a complete answer: to the next request, or to the end."""
        if self._exchanges and self._exchanges[0] is exchange:
            self._exchanges.popleft()
        if self._closing:
            return
        if not exchange.keep_alive or self.host.stopping:
            self._finish(exchange)
        elif self._exchanges:
            self._begin(self._exchanges[0])
            self.resume()
        else:
            self.resume()
            self._rest(exchange)

    def cut(self, *, abruptly: bool) -> None:
        """End the connection in the middle of an answer.

        Without chunks or a length, only a reset tells the client that it was cut.
        """
        self._closing = True
        self._exchanges.clear()
        if abruptly:
            opened: socket.socket = self._transport.get_extra_info("socket")
            if opened.family != socket.AF_UNIX:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()
            self._arm(self.host.patience.stall, self._transport.abort)

    def stop(self) -> None:
        """Close when nothing is going on, else after what is."""
        if not self._exchanges and not self._in_headers:
            self.close()

    def close(self) -> None:
        """Close."""
        self._disarm()
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._transport.abort()

    # ---- inside ----------------------------------------------------------------------------

    def _begin(self, exchange: Exchange) -> None:
        task = self._loop.create_task(exchange.run())
        exchange.task = task
        self.host.tasks.add(task)
        task.add_done_callback(self.host.tasks.discard)

    def _rest(self, exchange: Exchange) -> None:
        """Wait for the next request, or for the rest of a body that nobody reads."""
        if exchange.body_complete:
            self._arm(self.host.patience.idle, self.close)
        else:
            self._arm(self.host.patience.linger, self.close)

    def _finish(self, exchange: Exchange) -> None:
        """Close after an answer; a client that still sends gets the time to read it."""
        if (exchange.body_complete or exchange.expects) and not self._deaf:
            self.close()
            return
        self._linger()

    def _check(self, version: str) -> None:
        """Refuse a request that other servers on its way may read in another way."""
        if version not in _VERSIONS:
            raise _Refusal(505, "this server speaks HTTP/1.1")
        hosts = sum(name == b"host" for name, _ in self._headers)
        if hosts > 1 or (not hosts and version == "1.1"):  # RFC 9112, section 3.2
            raise _Refusal(400, f"host: it came {hosts} times; once is right")
        if len(self._exchanges) >= _PIPELINED:
            self._exchanges[-1].keep_alive = False  # so that the client asks the others again
            raise _Enough

    def _refuse(self, status: int, why: str) -> None:
        """Answer what is no request that could be handed on, or whose body is none."""
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            exchange.depart()
        if len(exchanges) > 1 or any(exchange.started for exchange in exchanges):
            self._transport.abort()  # nothing can be said in the middle of an answer
            return
        if self._reading is None or not self._reading.complete:  # else it has its answer
            self.write(refusal(status, why))
        self._linger()

    def _linger(self) -> None:
        """Close when the client does, or soon.

        Closing on what it still sends would be a reset, which takes the answer with it.
        """
        self._closing = True
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:  # it has left meanwhile
            self._transport.abort()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._arm(self.host.patience.linger, self._transport.close)

    def _too_slow(self) -> None:
        if self._in_headers:
            self._refuse(408, "the headers took too long")
        else:
            self.close()

    def _hang_up(self) -> None:
        """Hear that the other end is closed; what is read says so itself, after its data."""
        self._hung_up = True
        if self._paused and not self._closing:
            self._transport.abort()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.host.patience.header_bytes:
            raise _Refusal(*_TOO_LARGE)

    def _upgrade(self, rest: bytes) -> None:
        """Begin to speak another protocol, or go on as if nobody had offered one."""
        scope, self._upgrading = self._upgrading, {}
        upgrades = [value.lower() for name, value in self._headers if name == b"upgrade"]
        if upgrades == [b"websocket"] and not self._exchanges:
            self._hand_over(scope, rest)
            return
        kept = [pair for pair in self._headers if pair[0] not in (b"upgrade", b"connection")]
        if any(
            name == b"connection" and b"close" in value.lower() for name, value in self._headers
        ):
            kept.append((b"connection", b"close"))
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(request_of(scope, url=self._url, headers=kept) + rest)

    def _hand_over(self, scope: dict[str, Any], rest: bytes) -> None:
        from wherry.server.http1.websockets import websocket

        self._disarm()
        self._closing = True
        if self._watched:
            self.host.departures.forget(self._fd, self._hang_up)
            self._watched = False
        self.host.connections.discard(self)
        head = request_of(scope, url=self._url, headers=self._headers)
        websocket(self.host, self._transport, received=head + rest)

    def _arm(self, seconds: float, then: Any) -> None:  # noqa: ANN401 - any callback
        self._disarm()
        self._timer = self._loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
