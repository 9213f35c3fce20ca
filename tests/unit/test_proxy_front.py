"""The proxy's HTTP front: keep-alive, framing, answers, and clients that do odd things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.proxy_wire import echo, standing

from wherry.errors import EngineError, EngineUnavailable
from wherry.proxy.front import ClientLeft, Exchange, Refusal

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes, *lines: bytes) -> bytes:
    head = [b"POST /p HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, b"", body])


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with standing(echo) as stand:
        client = stand.client()
        for number in range(3):
            asked = b"GET /%d?q=%%20 HTTP/1.1\r\nHost: x\r\n\r\n" % number
            assert await client.ask(asked) == (200, b"GET /%d?q=%%20 b''" % number)


async def test_pipelined_requests_are_each_read_anew() -> None:
    async with standing(echo) as stand:
        client = stand.client()
        await client.send(post(b"one") + GET + post(b"two"))
        client.half_close()
        assert await client.answer() == (200, b"POST /p b'one'")
        assert await client.answer() == (200, b"GET /a b''")
        assert await client.answer() == (200, b"POST /p b'two'")
        assert await client.rest() == b""


async def test_requests_that_come_byte_by_byte_are_the_same_requests() -> None:
    chunked = (
        b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    async with standing(echo) as stand:
        client = stand.client()
        for byte in post(b"one") + chunked + GET:
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.answer() == (200, b"POST /p b'one'")
        assert await client.answer() == (200, b"PUT /c b'abc'")
        assert await client.answer() == (200, b"GET /a b''")


async def test_a_body_nobody_read_does_not_become_the_next_request() -> None:
    async def deaf(exchange: Exchange) -> None:
        await exchange.answer(200, exchange.request.target)

    async with standing(deaf) as stand:
        client = stand.client()
        await client.send(post(GET * 3) + GET)
        assert await client.answer() == (200, b"/p")
        assert await client.answer() == (200, b"/a")


async def test_a_large_body_nobody_read_ends_the_connection() -> None:
    async def deaf(exchange: Exchange) -> None:
        await exchange.answer(200)

    async with standing(deaf) as stand:
        client = stand.client()
        head = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
        await client.send(head + GET * 10)
        answer = await client.rest()
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"Connection: close" in answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_413_and_the_end(chunked: bool) -> None:
    if chunked:
        line, body = b"Transfer-Encoding: chunked", b"200000\r\n" + b"x" * 0x200000 + b"\r\n"
    else:
        line, body = b"Content-Length: 2097152", b"x" * 0x200000
    async with standing(echo) as stand:
        client = stand.client()
        sending = asyncio.create_task(
            client.send(b"POST /p HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n" + body)
        )
        status, _ = await client.answer()
        assert status == 413
        assert await client.rest() == b""
        await asyncio.gather(sending, return_exceptions=True)


async def test_the_limit_itself_is_taken() -> None:
    async with standing(echo) as stand:
        status, body = await stand.client().ask(post(b"x" * 1024 * 1024))
        assert (status, len(body)) == (200, 1024 * 1024 + len("POST /p b''"))


async def test_a_client_that_waits_to_be_told_is_told_once_its_body_is_wanted() -> None:
    async with standing(echo) as stand:
        client = stand.client()
        await client.send(post(b"", b"Expect: 100-continue").replace(b"h: 0", b"h: 3"))
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await client.ask(b"abc") == (200, b"POST /p b'abc'")


async def test_a_client_that_was_not_told_to_send_is_not_believed_a_body() -> None:
    async def refusing(exchange: Exchange) -> None:
        raise Refusal(403, "no")

    async with standing(refusing) as stand:
        client = stand.client()
        await client.send(post(b"", b"Expect: 100-continue").replace(b"h: 0", b"h: 3"))
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"Connection: close" in answer


async def test_old_clients_get_an_end_instead_of_chunks() -> None:
    async def streaming(exchange: Exchange) -> None:
        await exchange.stream(200, pieces(b"a", b"", b"b"), content_type="text/plain")

    async with standing(streaming) as stand:
        client = stand.client()
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert body == b"ab"
        assert b"Transfer-Encoding" not in head
        client = stand.client()
        await client.send(GET)
        head = await client.until(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert await client.until(b"0\r\n\r\n") == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_the_head_of_a_stream_comes_before_its_first_piece() -> None:
    more = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        await more.wait()
        yield b"x"

    async with standing(lambda e: e.stream(200, chunks(), content_type="text/plain")) as stand:
        client = stand.client()
        await client.send(GET)
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        more.set()
        assert await client.until(b"0\r\n\r\n") == b"1\r\nx\r\n0\r\n\r\n"


async def test_a_stream_that_fails_is_cut_without_its_last_chunk() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise EngineError("cut")

    async with standing(lambda e: e.stream(200, chunks(), content_type="text/plain")) as stand:
        client = stand.client()
        await client.send(GET)
        assert (await client.rest()).endswith(b"\r\n\r\n4\r\nhalf\r\n")


@pytest.mark.parametrize(
    ("status", "method"), [(200, b"HEAD"), (204, b"GET"), (304, b"GET"), (204, b"HEAD")]
)
async def test_answers_without_a_body_have_none(status: int, method: bytes) -> None:
    async with standing(lambda e: e.answer(status, b"never")) as stand:
        client = stand.client()
        await client.send((method + b" / HTTP/1.1\r\nHost: x\r\n\r\n") * 2)
        for _ in range(2):
            head = await client.until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert (b"Content-Length: 5" in head) == (status == 200)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refusal(409, "taken"), 409),
        (EngineUnavailable("secret place"), 503),
        (EngineError("secret place"), 502),
        (KeyError("secret place"), 500),
        (None, 500),
    ],
)
async def test_what_a_handler_raises_is_an_answer_without_secrets(
    error: Exception | None, status: int
) -> None:
    async def failing(exchange: Exchange) -> None:
        if error is not None:
            raise error

    async with standing(failing) as stand:
        client = stand.client()
        got, body = await client.ask(GET)
        assert got == status
        assert b'"message"' in body
        assert b"secret" not in body
        assert (await client.ask(GET))[0] == status  # the connection goes on


@pytest.mark.parametrize(
    "header",
    [
        {"Location": "/x"},
        {"content-length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"X-A": "b\r\nX-C: d"},
        {"X A": "b"},
        {"X-A\r\n": "b"},
    ],
)
async def test_a_handler_cannot_give_headers_of_framing(header: dict[str, str]) -> None:
    raised: list[ValueError] = []

    async def handler(exchange: Exchange) -> None:
        try:
            await exchange.answer(200, headers=header)
        except ValueError as error:
            raised.append(error)
            raise

    async with standing(handler) as stand:
        assert (await stand.client().ask(GET))[0] == 500
    assert raised


async def test_a_client_that_leaves_ends_what_only_it_waited_for() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        try:
            async with exchange.while_present():
                begun.set()
                await asyncio.Event().wait()
        except ClientLeft:
            ended.set()
            raise

    async with standing(handler) as stand:
        client = stand.client()
        await client.send(GET)
        async with asyncio.timeout(20):
            await begun.wait()
            client.close()
            await ended.wait()


async def test_an_answer_for_nobody_is_not_made_and_a_change_is() -> None:
    seen: list[str] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.request.method)
        await exchange.answer(200)

    async with standing(handler) as stand:
        for asked in (GET, post(b"x")):
            client = stand.client()
            await client.send(asked)
            client.close()
        async with asyncio.timeout(20):
            await asyncio.gather(*stand.serving)
    assert seen == ["POST"]


async def test_a_half_close_is_not_leaving() -> None:
    going = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        async with exchange.while_present():
            await going.wait()
            await asyncio.sleep(0.01)  # the loop has looked at its sockets by then
        await exchange.answer(200, b"still here")

    async with standing(handler) as stand:
        client = stand.client()
        await client.send(GET)
        client.half_close()
        going.set()
        assert await client.answer() == (200, b"still here")


async def test_a_client_that_leaves_does_not_interrupt_what_was_begun() -> None:
    begun, left, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        begun.set()
        await left.wait()
        await asyncio.sleep(0.01)
        done.set()
        await exchange.answer(201)

    async with standing(handler) as stand:
        client = stand.client()
        await client.send(GET)
        await begun.wait()
        client.close()
        left.set()
        async with asyncio.timeout(20):
            await done.wait()


async def test_a_body_that_breaks_off_never_ends() -> None:
    seen: list[str] = []

    async def handler(exchange: Exchange) -> None:
        try:
            async for piece in exchange.request.body.stream(1000):
                seen.append(piece.decode())  # noqa: PERF401 - also what came before it was cut
            seen.append("end")
        except ClientLeft:
            seen.append("left")
            raise

    async with standing(handler) as stand:
        for body in (
            b"Content-Length: 9\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
        ):
            client = stand.client()
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + body)
            client.half_close()
            assert await client.rest() == b""
    assert seen == ["abc", "left"] * 2
