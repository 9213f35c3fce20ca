"""A client's connection: one request after the other, each read, checked and answered alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.errors import EngineError, EngineUnavailable
from wherry.proxy.front import answers
from wherry.proxy.front.body import FramedBody
from wherry.proxy.front.buffer import Buffer, settle
from wherry.proxy.front.exchange import Exchange
from wherry.proxy.front.head import END, Head, check_bytes, parse, refuse
from wherry.proxy.front.leaving import Presence, has_left
from wherry.proxy.front.problems import ClientLeft, Refusal
from wherry.proxy.front.request import Peer, Request
from wherry.proxy.hijack import join

if TYPE_CHECKING:
    import socket

    from wherry.proxy.front.front import Front
    from wherry.proxy.upstream import Hijacked
    from wherry.proxy.wires import Wire

_log = logging.getLogger(__name__)
_ASKING = frozenset({"GET", "HEAD"})
"""Methods that are of no use without somebody who gets the answer."""


class Connection:
    """Serves one client until it leaves, is refused, or has asked for the last time."""

    def __init__(self, front: Front, wire: Wire, *, watched: socket.socket, peer: Peer) -> None:
        """Speak on a wire; ``watched`` is the socket below, which tells when the client left."""
        self.wire = wire
        self.peer = peer
        self.patience = front.patience
        self.is_idle = False
        """Whether it waits for its next request."""
        self._front = front
        self._watched = watched
        self._buffer = Buffer(wire)
        self._body: FramedBody | None = None
        self._has_turn = False

    async def serve(self) -> None:
        """Answer requests to the last, then close."""
        try:
            while await self._one():
                pass
        except Refusal as error:
            await self._refuse(error)
        except ClientLeft as error:
            _log.debug("a client has left", extra={"reason": str(error)})
        finally:
            self.wire.close()

    # ---- reading ---------------------------------------------------------------------------

    async def _one(self) -> bool:
        """Answer one request; whether there may be another one."""
        head = await self._head()
        if head is None:
            return False
        body = FramedBody(
            self._buffer,
            length=head.length,
            proceed=self._proceed if head.expects else None,
            patience=self.patience.body,
            rest=self.patience.rest,
            room=self._front.room,
        )
        self._body = body
        request = Request(
            method=head.method,
            target=head.target,
            headers=head.headers,
            body=body,
            version=head.version,
            upgrade=head.upgrade,
        )
        exchange = Exchange(self, request, keeps=head.keeps)
        await self._front.turns.acquire()
        self._has_turn = True
        try:
            if head.method in _ASKING and has_left(self._watched):
                raise ClientLeft("the client left before its turn")
            await self._handle(exchange)
        finally:
            self._end_turn()
            body.let_go()
        if not exchange.complete:
            return False
        patience = self.patience
        if exchange.keeps and await body.drain(
            limit=patience.linger_bytes, seconds=patience.linger
        ):
            return not self._front.stopping
        await self._linger()
        return False

    async def _head(self) -> Head | None:
        """Return the next head, None when the client has asked for the last time."""
        if self._buffer.held:
            await asyncio.sleep(0)  # who has sent many requests at once is not the only one
        elif not await self._next_begins():
            return None
        if (size := self._head_size(0)) is None:
            try:
                async with asyncio.timeout(self.patience.head):
                    size = await self._rest_of_head()
            except TimeoutError:
                raise refuse("the head took too long", status=408) from None
        return parse(self._buffer.take(size), most_headers=self.patience.headers)

    async def _next_begins(self) -> bool:
        first = self._body is None
        self.is_idle = True
        try:
            async with asyncio.timeout(self.patience.head if first else self.patience.idle):
                return await self._buffer.fill()
        except TimeoutError:
            return False
        finally:
            self.is_idle = False

    async def _rest_of_head(self) -> int:
        while True:
            looked = len(self._buffer.held)
            if not await self._buffer.fill():
                raise ClientLeft("the client ended in the middle of a head")
            if (size := self._head_size(looked)) is not None:
                return size

    def _head_size(self, looked: int) -> int | None:
        """Return how long the head is, None when its end has not come; refuses what is none."""
        held = self._buffer.held
        found = held.find(END, max(looked - len(END) + 1, 0))
        end = len(held) if found < 0 else found + len(END)
        check_bytes(held, looked, end=end)
        if end > self.patience.head_bytes:
            raise refuse(f"the head is larger than {self.patience.head_bytes} bytes", status=431)
        return None if found < 0 else end

    async def _proceed(self) -> None:
        try:
            await self.wire.write(answers.CONTINUE)
        except OSError as error:
            raise ClientLeft(f"the client has left: {error}") from error

    # ---- answering -------------------------------------------------------------------------

    async def _handle(self, exchange: Exchange) -> None:
        """Have an exchange answered; what a handler raises is an answer too, if none has begun."""
        refused: Refusal | None = None
        try:
            await self._front.handler(exchange)
        except ClientLeft:
            raise
        except Refusal as error:
            refused = error
        except EngineUnavailable as error:
            _log.warning("the engine cannot be reached", extra={"reason": str(error)})
            refused = Refusal(503, "the engine cannot be reached")
        except EngineError as error:
            _log.warning("an exchange with the engine failed", extra={"reason": str(error)})
            refused = Refusal(502, "the exchange with the engine failed")
        except Exception:  # noqa: BLE001 - one request must not end the others
            _log.exception("a request could not be handled")
            refused = Refusal(500, "the request could not be handled")
        if exchange.answered:
            return
        if refused is None:
            _log.error("a request was not answered")
            refused = Refusal(500, "the request could not be handled")
        exchange.keeps = exchange.keeps and not refused.close
        await exchange.refuse(refused.status, refused.message)

    def may_go_on(self) -> bool:
        """Whether another request may follow: the rest of this one's body is here, or small."""
        body = self._body
        assert body is not None
        return not self._front.stopping and body.is_soon_over(self.patience.linger_bytes)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream; raises Refusal (429) for one too many."""
        front = self._front
        if front.streams >= self.patience.streams:
            raise Refusal(429, f"{front.streams} streams are open, which is as many as may be")
        front.streams += 1
        self._end_turn()
        try:
            yield
        finally:
            front.streams -= 1

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._front.turns.release()

    def presence(self, *, closed: bool = False) -> Presence:
        """Return a block that ends when the client leaves."""
        return Presence(self._front.departures, self._watched, closed=closed)

    async def join(self, upstream: Hijacked) -> None:
        """Join the client with the engine until both directions have ended."""
        await join(
            self.wire,
            upstream.duplex,
            sent=self._buffer.take(len(self._buffer.held)),
            carried=upstream.carried,
            leaving=self.presence(closed=True),
        )

    # ---- ending ----------------------------------------------------------------------------

    async def _refuse(self, error: Refusal) -> None:
        """Answer what was no request, and nothing that follows it."""
        try:
            async with asyncio.timeout(self.patience.answer):
                await self.wire.write(answers.refusal(error))
        except OSError:  # the client has left, or does not read
            return
        await self._linger()

    async def _linger(self) -> None:
        try:
            await self.wire.end()
        except OSError:
            return
        await settle(self.wire, seconds=self.patience.linger, limit=self.patience.linger_bytes)

    def cut(self) -> None:
        """End it from outside, whatever it does."""
        self.wire.cut()
