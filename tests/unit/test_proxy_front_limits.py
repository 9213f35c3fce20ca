"""The limits of the proxy's front: slow clients, many clients, and its stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Self

from tests.support.proxy_memory import MemoryWire
from tests.support.proxy_wire import Client, echo, standing

from wherry.proxy.front import Exchange, Front, Patience, Peer
from wherry.proxy.wires import SocketWire

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_slow_head_is_408_and_a_slow_body_too() -> None:
    async with standing(echo, Patience(head=0.02, body=0.02)) as stand:
        client = stand.client()
        await client.send(b"GET / HT")
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        client = stand.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_streamed_body_that_rests_is_408() -> None:
    async def handler(exchange: Exchange) -> None:
        async for _ in exchange.request.body.stream(1000):
            pass

    async with standing(handler, Patience(rest=0.02, linger=0.05)) as stand:
        client = stand.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_bodies_that_are_held_take_a_bounded_memory_together() -> None:
    held, holding = 0, asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        nonlocal held
        await exchange.request.body.read()
        held += 1
        await holding.wait()
        await exchange.answer(200)

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    async with standing(handler, Patience(bodies=250_000, linger=0.05)) as stand:
        clients = [stand.client() for _ in range(2)]
        for client in clients:
            await client.send(head + b"x" * 100_000)
        while held < 2:
            await asyncio.sleep(0)
        assert (await stand.client().ask(head + b"x" * 100_000))[0] == 503
        holding.set()
        assert [(await client.answer())[0] for client in clients] == [200, 200]
        assert (await stand.client().ask(head + b"x" * 100_000))[0] == 200


async def test_a_client_that_says_nothing_is_let_go() -> None:
    async with standing(echo, Patience(head=0.02, idle=0.02)) as stand:
        client = stand.client()
        assert await client.rest() == b""
        client = stand.client()
        assert (await client.ask(GET))[0] == 200
        assert await client.rest() == b""


class Ticking:
    """Counts the turns that others get while a block runs."""

    def __init__(self) -> None:
        self.turns = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


async def test_many_requests_at_once_do_not_keep_the_loop_from_others() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200)

    front = Front(handler)
    ours, theirs = socket.socketpair()
    wire = MemoryWire([GET * 500])
    async with Ticking() as ticking:
        await front.serve(wire, watched=theirs, peer=Peer("unix"))
    assert wire.written.count(b"HTTP/1.1 200 OK") == 500
    assert ticking.turns > 400
    front.departures.close()
    ours.close()
    theirs.close()


async def test_a_stream_of_bytes_does_not_keep_the_loop_from_others() -> None:
    ours, theirs = socket.socketpair()
    wire = SocketWire(theirs)

    def flood() -> None:
        with ours:
            ours.sendall(b"x" * (20 << 20))

    sending = threading.Thread(target=flood)
    sending.start()
    async with Ticking() as ticking:
        while await wire.read():
            pass
    sending.join()
    wire.close()
    assert ticking.turns > 50


async def test_one_client_too_many_is_refused_and_an_idle_one_gives_way() -> None:
    holding = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await holding.wait()
        await exchange.answer(200)

    async with standing(handler, Patience(connections=2)) as stand:
        first, second = stand.client(), stand.client()
        await first.send(GET)
        await second.send(GET)
        await asyncio.sleep(0.01)
        assert (await stand.client().rest()).startswith(b"HTTP/1.1 503 ")
        holding.set()
        assert (await first.answer())[0] == (await second.answer())[0] == 200
        await asyncio.sleep(0.01)
        assert (await stand.client().ask(GET))[0] == 200  # the first was idle
        assert await first.rest() == b""


async def test_requests_wait_for_their_turn_and_streams_take_none() -> None:
    at_work = most = 0

    async def forever() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async def handler(exchange: Exchange) -> None:
        nonlocal at_work, most
        if exchange.request.method == "PUT":
            await exchange.stream(200, forever(), content_type="text/plain")
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.002)
        at_work -= 1
        await exchange.answer(200)

    async with standing(handler, Patience(requests=2)) as stand:
        for _ in range(3):
            following = stand.client()
            await following.send(GET.replace(b"GET", b"PUT"))
            await following.until(b"1\r\nx\r\n")
        clients = [stand.client() for _ in range(10)]
        answers = await asyncio.gather(*(client.ask(GET) for client in clients))
        assert [status for status, _ in answers] == [200] * 10
        assert most == 2


async def test_one_stream_too_many_is_refused() -> None:
    async def forever() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async def handler(exchange: Exchange) -> None:
        await exchange.stream(200, forever(), content_type="text/plain")

    async with standing(handler, Patience(streams=1)) as stand:
        first = stand.client()
        await first.send(GET)
        await first.until(b"1\r\nx\r\n")
        assert (await stand.client().ask(GET))[0] == 429
        first.close()
        second: Client
        while (second := stand.client()) and (await status_of(second)) == b"429":
            await asyncio.sleep(0)


async def status_of(client: Client) -> bytes:
    await client.send(GET)
    return (await client.until(b"\r\n\r\n"))[9:12]


async def test_a_client_that_does_not_read_stops_the_source() -> None:
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 65536

    async with standing(lambda e: e.stream(200, chunks(), content_type="text/plain")) as stand:
        client = stand.client()
        await client.send(GET)
        before = -1
        while before != taken:
            before = taken
            await asyncio.sleep(0.03)
        assert taken < 20  # what two sockets hold, and one piece


async def test_a_front_that_stops_lets_answers_end_and_takes_no_more() -> None:
    holding = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await holding.wait()
        await exchange.answer(200, b"to the end")

    async with standing(handler, Patience(linger=0.05)) as stand:
        idle, busy = stand.client(), stand.client()
        await busy.send(GET)
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(stand.front.stop(grace=20))
        assert await idle.rest() == b""
        holding.set()
        answer = await busy.rest()
        assert b"Connection: close" in answer
        assert answer.endswith(b"to the end")
        await stopping


async def test_a_front_that_stops_cuts_what_does_not_end() -> None:
    async def handler(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with standing(handler) as stand:
        client = stand.client()
        await client.send(GET)
        await asyncio.sleep(0.01)
        await stand.front.stop(grace=0.01)
        assert await client.rest() == b""
        stand.serving.clear()
