"""Requests that two servers may read in two ways: each is refused, and nothing after it is read."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.proxy_wire import SECONDS, standing

from wherry.proxy.front import Exchange, Patience

INNER = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED: dict[str, bytes] = {
    "both length and chunks": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n"
    ),
    "chunks and then a length": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"
    ),
    "the same length twice": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "two lengths": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc"
    ),
    "a list of lengths": b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a signed length": b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
    "a negative length": b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length in hex": b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc",
    "a length with an underscore": b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n",
    "an empty length": b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
    "an endless length": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"
    ),
    "an unknown coding": b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "a coding twice": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"
    ),
    "codings in a list": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"
    ),
    "a compressed body": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    ),
    "a coding after a vertical tab": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"
    ),
    "a quoted coding": (
        b'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'
    ),
    "chunks in HTTP/1.0": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc"),
    "a tab before the colon": (
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a folded header": b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a folded first header": b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n",
    "a header without a name": b"GET /a HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
    "a header without a colon": b"GET /a HTTP/1.1\r\nHost: x\r\nab\r\n\r\n",
    "a name with a space": b"GET /a HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
    "bare line feeds": b"GET /a HTTP/1.1\nHost: x\n\n",
    "one bare line feed": b"GET /a HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "a bare carriage return": b"GET /a HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "two carriage returns": b"GET /a HTTP/1.1\r\nHost: x\r\r\n\r\n",
    "an empty line first": b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a null byte": b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n",
    "a control character": b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a deletion": b"GET /a\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
    "a byte above ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header above ASCII": b"GET /a HTTP/1.1\r\nHost: x\r\nA: \xe9\r\n\r\n",
    "an absolute target": b"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of authority": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target without a slash": b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab in the request line": b"GET\t/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "two spaces in the request line": b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space after the version": b"GET /a HTTP/1.1 \r\nHost: x\r\n\r\n",
    "a method in lower case": b"get /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /a\r\nHost: x\r\n\r\n",
    "an old version": b"GET /a HTTP/0.9\r\nHost: x\r\n\r\n",
    "a new version": b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
    "a long version": b"GET /a HTTP/1.10\r\nHost: x\r\n\r\n",
    "a version in lower case": b"GET /a http/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 dressed up": b"PRI / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade to HTTP/2": (
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    ),
    "settings of HTTP/2": b"GET /a HTTP/1.1\r\nHost: x\r\nHTTP2-Settings: AAM\r\n\r\n",
    "an unknown upgrade": (
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    ),
    "two upgrades": (
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp, h2c\r\n\r\n"
    ),
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "two types": (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n"),
    "an unknown expectation": b"GET /a HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "too many headers": b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    "a head that is too large": b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a head without an end": b"GET /a HTTP/1.1\r\nA: " + b"b" * 70000,
}
CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS: dict[str, bytes] = {
    "an extension": b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "an extension without a value": b"3;\r\nabc\r\n0\r\n\r\n",
    "a space after the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "a space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "an underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "no number": b"g\r\nabc\r\n0\r\n\r\n",
    "a size that overflows": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a bare line feed after the size": b"3\nabc\r\n0\r\n\r\n",
    "a bare carriage return after the size": b"3\rabc\r\n0\r\n\r\n",
    "more data than its size": b"3\r\nabcd\r\n0\r\n\r\n",
    "less data than its size": b"4\r\nabc\r\n0\r\n\r\n",
    "a bare line feed after the data": b"3\r\nabc\n0\r\n\r\n",
    "no line end after the data": b"3\r\nabc0\r\n\r\n",
    "a trailer": b"3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    "a trailer that frames": b"0\r\nContent-Length: 31\r\n\r\n",
    "a bare line feed at the end": b"3\r\nabc\r\n0\r\n\n",
    "leading zeros without end": b"0" * 40 + b"\r\n\r\n",
}


async def answers_to(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the targets a handler saw, and all that came back."""
    seen: list[bytes] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.request.target)
        await exchange.answer(200, await exchange.request.body.read())

    async with standing(handler, Patience(head=0.5, body=0.5, linger=0.5)) as stand:
        client = stand.client()
        sending = asyncio.create_task(client.send(data))
        async with asyncio.timeout(SECONDS):
            answer = await client.rest()
        await asyncio.gather(sending, return_exceptions=True)
    return seen, answer


@pytest.mark.parametrize("name", REFUSED)
async def test_an_ambiguous_head_is_refused_with_all_that_follows(name: str) -> None:
    seen, answer = await answers_to(REFUSED[name] + INNER)
    assert seen == []
    assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 417", b"HTTP/1.1 431"}
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("name", CHUNKS)
async def test_an_ambiguous_chunk_is_refused_with_all_that_follows(name: str) -> None:
    seen, answer = await answers_to(CHUNKED + CHUNKS[name] + INNER)
    assert seen == [b"/a"]
    assert answer[:12] == b"HTTP/1.1 400"
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_an_ambiguous_head_is_refused_before_it_is_whole() -> None:
    async with standing(lambda e: e.answer(200), Patience(head=1000)) as stand:
        for beginning in (b"\x16", b"GET /a HTTP/1.1\n", b"GET /\x80", b"GET / HTTP/1.1\rX"):
            client = stand.client()
            await client.send(beginning)
            assert (await client.answer())[0] == 400


async def test_what_is_unusual_and_clear_is_taken() -> None:
    data = (
        b"POST /!$&'()*+,;=:@%7E~\"<>[]^`{|}\\?a=b?c HTTP/1.1\r\nHOST:\r\n"
        b"content-LENGTH: \t3\t \r\n"
        b"Accept: a\r\nAccept: b\r\nX: \r\n\r\nabc"
    )
    seen, answer = await answers_to(
        data + INNER.replace(b"Host: x", b"Host: x\r\nConnection: close")
    )
    assert seen == [b"/!$&'()*+,;=:@%7E~\"<>[]^`{|}\\?a=b?c", b"/inner"]
    assert answer.count(b"HTTP/1.1 200 ") == 2
