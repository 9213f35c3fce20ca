"""Our HTTP/1 on a socket: what is no request, what is too much of one, and what takes too long."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from tests.support.wire_client import echo, ok, wire

from wherry.server.http1.connection import Connection
from wherry.server.http1.host import Patience


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_400(request_: bytes) -> None:
    async with wire(ok) as client:
        await client.send(request_)
        assert (await client.answer())[0] == 400
        assert await client.rest() == b""


@pytest.mark.parametrize("line", [b"GET /", b"GET / HTTP/2.0"])
async def test_other_versions_of_http_are_a_505(line: bytes) -> None:
    async with wire(ok) as client:
        await client.send(line + b"\r\nHost: x\r\n\r\n" if b"HTTP" in line else line + b"\r\n\r\n")
        assert (await client.answer())[0] == 505
        assert await client.rest() == b""


async def test_chunks_that_cannot_be_read_end_the_call_with_a_400_while_nothing_was_answered() -> (
    None
):
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with wire(app) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
        await client.send(b"2\r\nok\r\nzz\r\n")
        assert (await client.answer())[0] == 400
        assert await client.rest() == b""
        async with asyncio.timeout(10):
            await left.wait()


async def test_chunks_that_cannot_be_read_are_no_second_answer_to_their_request() -> None:
    async with wire(ok) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
        assert (await client.answer())[0] == 200
        await client.send(b"zz\r\n")
        assert await client.rest() == b""


async def test_requests_without_end_on_one_connection_are_not_all_kept() -> None:
    most = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most
        connection = next(iter(client.host.connections))
        most = max(most, len(connection._exchanges))
        await ok(scope, receive, send)

    async with wire(app) as client:
        asked = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        await client.send(asked * 1000)
        headers: dict[str, str] = {}
        while "connection" not in headers:
            status, headers, _ = await client.answer()
            assert status == 200
        assert await client.rest() == b""
    assert 1 < most <= 64


async def test_chunks_that_cannot_be_read_end_the_connection() -> None:
    async with wire(echo) as client:
        await client.ask("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
        await client.until(b"\r\n\r\n")
        await client.send(b"zz\r\n")
        assert not (await client.rest()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    ["GET /" + "x" * 3000, "GET / HTTP/1.1\r\nX: " + "x" * 3000,
     "GET / HTTP/1.1\r\n" + "a: b\r\n" * 300 + "\r\n"],
)  # fmt: skip
async def test_headers_that_are_too_large_are_a_431(head: str) -> None:
    async with wire(ok, patience=Patience(header_bytes=1000)) as client:
        await client.send(head)
        assert (await client.answer())[0] == 431


async def test_headers_that_take_too_long_are_a_408() -> None:
    async with wire(ok, patience=Patience(headers=0.02)) as client:
        await client.send("GET / HTTP/1.1\r\nHost: x\r\n")
        assert (await client.answer())[0] == 408


async def test_headers_that_come_drop_by_drop_are_a_408_too() -> None:
    async with wire(ok, patience=Patience(headers=0.04)) as client:
        await client.send("GET / HTTP/1.1\r\n")
        answer = asyncio.ensure_future(client.answer())
        for _ in range(200):
            if answer.done():
                break
            await client.send("a: b\r\n")
            await asyncio.sleep(0.01)
        assert (await answer)[0] == 408


async def test_one_connection_too_many_is_told_so() -> None:
    async with wire(ok) as client:
        client.host.most = 1
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: Connection(client.host), ours)
        with theirs:
            assert (await loop.sock_recv(theirs, 65536)).startswith(b"HTTP/1.1 503 ")
            assert await loop.sock_recv(theirs, 1) == b""
        await client.ask("GET / HTTP/1.1", "Host: x")
        assert (await client.answer())[2] == b"ok"


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with wire(ok, patience=Patience(headers=0.02)) as client:
        assert await client.rest() == b""


async def test_a_connection_that_says_nothing_more_is_closed() -> None:
    async with wire(ok, patience=Patience(idle=0.02)) as client:
        await client.ask("GET / HTTP/1.1", "Host: x")
        await client.answer()
        assert await client.rest() == b""
