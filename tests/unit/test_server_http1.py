"""Our HTTP/1 on a socket: framing, endings, patience, and clients of every kind."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from tests.support.wire_client import echo, ok, wire

from wherry.server.http1.connection import Connection
from wherry.server.http1.departures import Departures
from wherry.server.http1.host import Host, Patience
from wherry.web.duplex import AnswerCut, Duplex


async def broken(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"so far", "more_body": True})
    raise AnswerCut("it broke")


async def test_a_request_is_answered_and_the_connection_kept() -> None:
    async with wire(ok) as client:
        for _ in range(3):
            await client.ask("GET / HTTP/1.1", "Host: x")
            status, headers, body = await client.answer()
            assert (status, body) == (200, b"ok")
            assert headers["date"].endswith("gmt")


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async with wire(echo) as client:
        await client.send(
            b"".join(
                b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % (number, number)
                for number in range(8)
            )
        )
        for number in range(8):
            _, headers, body = await client.answer()
            assert (headers["x-path"], body) == (f"/{number}", b"%d" % number)


async def test_both_directions_flow_at_once() -> None:
    async with wire(echo) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
        await client.until(b"\r\n\r\n")
        for word in (b"one", b"two"):
            await client.send(b"3\r\n%b\r\n" % word)
            assert await client.until(word + b"\r\n") == b"3\r\n" + word + b"\r\n"
        await client.send(b"0\r\n\r\n")
        assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_a_client_that_expects_a_100_gets_it_before_the_answer() -> None:
    async with wire(echo) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Content-Length: 2", "Expect: 100-continue")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hi")
        assert (await client.answer())[2] == b"hi"


async def test_a_client_that_expects_a_100_and_is_refused_sends_no_body_for_a_request() -> None:
    async with wire(ok) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Content-Length: 2", "Expect: 100-continue")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.rest() == b""


async def test_an_old_client_gets_no_chunks() -> None:
    async with wire(echo) as client:
        await client.ask("POST /a HTTP/1.0", "Content-Length: 4", body=b"boat")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"boat"


async def test_an_old_client_may_keep_its_connection_when_the_length_is_known() -> None:
    async with wire(ok) as client:
        for _ in range(2):
            await client.ask("GET / HTTP/1.0", "Connection: keep-alive")
            _, headers, body = await client.answer()
            assert (headers["connection"], body) == ("keep-alive", b"ok")


async def test_the_answer_to_a_head_request_has_no_body() -> None:
    async with wire(ok) as client:
        await client.ask("HEAD / HTTP/1.1", "Host: x")
        assert b"content-length: 2" in await client.until(b"\r\n\r\n")
        await client.ask("GET / HTTP/1.1", "Host: x")
        assert (await client.answer())[2] == b"ok"


async def test_an_answer_that_broke_off_has_no_last_chunk() -> None:
    async with wire(broken) as client:
        await client.ask("GET / HTTP/1.1", "Host: x")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"chunked" in head
    assert body == b"6\r\nso far\r\n"


async def test_an_answer_with_a_length_that_broke_off_ends_early() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise AnswerCut("it broke")

    async with wire(app) as client:
        await client.ask("GET / HTTP/1.1", "Host: x")
        assert (await client.rest()).endswith(b"\r\n\r\nhalf")


async def test_a_mistake_in_the_application_is_a_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async with wire(app) as client:
        await client.ask("GET / HTTP/1.1", "Host: x")
        status, headers, body = await client.answer()
    assert (status, headers["connection"]) == (500, "close")
    assert b"ZeroDivision" not in body


@pytest.mark.parametrize("header", [(b"x: y", b"1"), (b"x", b"1\r\nx-evil: 1"), (b"", b"1")])
async def test_headers_that_would_be_more_than_one_are_never_sent(
    header: tuple[bytes, bytes],
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [header]})
        await send({"type": "http.response.body", "body": b""})

    async with wire(app) as client:
        await client.ask("GET / HTTP/1.1", "Host: x")
        status, headers, _ = await client.answer()
    assert status == 500
    assert "x-evil" not in headers


async def test_a_body_that_nobody_reads_does_not_hide_the_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({
            "type": "http.response.start", "status": 413,
            "headers": [(b"content-length", b"2"), (b"connection", b"close")],
        })  # fmt: skip
        await send({"type": "http.response.body", "body": b"no"})

    async with wire(app) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Content-Length: 10000000")
        sending = asyncio.ensure_future(client.send(bytes(10_000_000)))
        status, _, body = await client.answer()
        assert (status, body) == (413, b"no")
        await sending


async def test_a_client_that_leaves_just_before_its_answer_is_no_mistake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        client.close()  # its kernel resets the connection while the answer is written
        headers = [(b"content-length", b"2"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": b"no"})

    host = Host(app=app, departures=Departures())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(host), accepted)
    async with asyncio.timeout(10):
        while host.connections or host.tasks:
            await asyncio.sleep(0)
    host.departures.close()
    assert not caplog.records


async def test_after_a_body_that_was_not_read_the_next_request_is_answered() -> None:
    async with wire(ok) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Content-Length: 1000000")
        sending = asyncio.ensure_future(client.send(bytes(1_000_000)))
        assert (await client.answer())[2] == b"ok"
        await sending
        await client.ask("GET / HTTP/1.1", "Host: x")
        assert (await client.answer())[2] == b"ok"


async def test_a_client_that_leaves_is_noticed_while_its_body_is_not_read() -> None:
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["wherry.departure"](left.set)
        await left.wait()

    async with wire(app) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Content-Length: 100000000")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.send(bytes(100_000_000))
        assert not left.is_set()
        client.close()
        async with asyncio.timeout(10):
            await left.wait()


async def test_a_client_that_does_not_read_stops_the_answer_and_is_given_up() -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        async with Duplex(scope, receive=receive, send=send) as exchange:
            await exchange.start(200, [])
            while True:
                await exchange.write(bytes(65536))
                sent += 65536

    async with wire(app, patience=Patience(stall=0.05)) as client:
        await client.ask("GET / HTTP/1.1", "Host: x")
        async with asyncio.timeout(10):
            while not client.host.tasks:
                await asyncio.sleep(0)
            while client.host.tasks:
                await asyncio.sleep(0.001)
    assert sent < 4 * 1024 * 1024


async def test_an_offer_of_another_protocol_is_not_taken() -> None:
    async with wire(echo) as client:
        await client.ask(
            "POST / HTTP/1.1", "Host: x", "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Content-Length: 2", body=b"hi",
        )  # fmt: skip
        assert (await client.answer())[2] == b"hi"


async def test_an_offer_of_another_protocol_keeps_no_connection_that_is_to_be_closed() -> None:
    async with wire(ok) as client:
        await client.ask("GET / HTTP/1.1", "Host: x", "Connection: Upgrade, close", "Upgrade: h2c")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.rest() == b""


async def test_a_websocket_is_spoken_to_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"].upper()})
        await send({"type": "websocket.close", "code": 1000})

    async with wire(app) as client:
        await client.ask(
            "GET /chat HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        assert b" 101 " in await client.until(b"\r\n\r\n")
        await client.send(b"\x81\x82\x00\x00\x00\x00hi")
        assert await client.exactly(4) == b"\x81\x02HI"
