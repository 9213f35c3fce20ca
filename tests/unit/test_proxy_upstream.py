"""Requests to the engine: written anew, and answers that are whole or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.proxy_wire import SECONDS, EngineHandler, engine, passing, standing

from wherry.engines.docker.address import Address
from wherry.errors import EngineError, EngineUnavailable
from wherry.proxy.front import ClientLeft, Exchange
from wherry.proxy.upstream import Upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /v1.41/events HTTP/1.1\r\nHost: x\r\n\r\n"


def answering(answer: bytes, asked: list[bytes] | None = None) -> EngineHandler:
    """Return an engine that reads a head, says its answer, and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head)
        writer.write(answer)
        await writer.drain()

    return handle


def upstream_to(path: Path) -> Upstream:
    return Upstream(Address(scheme="unix", path=str(path)))


async def test_a_request_is_only_what_a_handler_says(tmp_path: Path) -> None:
    asked: list[bytes] = []
    async with engine(tmp_path, answering(OK, asked)) as upstream:
        async with upstream.exchange(
            "GET",
            "/containers/a%2Fb/json",
            query={"all": True, "size": False, "limit": 3, "none": None, "f": '{"a b":["&"]}'},
            headers={"X-Registry-Auth": "e30="},
        ) as answer:
            assert await answer.read() == b"ok"
        async with upstream.exchange("POST", "/x", query={"names": ["a", "b"]}) as answer:
            assert answer.status == 200
        async with upstream.exchange("PUT", "/x", body=b"{}") as answer:
            assert answer.headers == {"content-length": "2"}
    first = b"/v1.41/containers/a%2Fb/json?all=1&size=0&limit=3&f=%7B%22a+b%22%3A%5B%22%26%22%5D%7D"
    assert asked == [
        b"GET " + first + b" HTTP/1.1\r\nHost: docker\r\nX-Registry-Auth: e30=\r\n\r\n",
        b"POST /v1.41/x?names=a&names=b HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
        b"PUT /v1.41/x HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\n\r\n",
    ]


@pytest.mark.parametrize("path", ["x", "/a b", "/a?b=c", "/a#b", "/a\r\nX: y", "/\u00e9", ""])
async def test_a_path_that_is_none_is_a_bug_of_ours(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        async with upstream_to(Path("/none")).exchange("GET", path):
            pass


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "X-Meta-A", "Te"])
async def test_a_header_that_is_not_on_the_list_is_a_bug_of_ours(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        async with upstream_to(Path("/none")).exchange("GET", "/x", headers={name: "1"}):
            pass


async def test_a_header_with_a_line_end_is_never_sent(tmp_path: Path) -> None:
    asked: list[bytes] = []
    async with engine(tmp_path, answering(OK, asked)) as upstream:
        with pytest.raises(Exception, match="header"):
            async with upstream.exchange("GET", "/x", headers={"accept": "a\r\nX: b"}):
                pass
    assert asked == []


async def test_an_engine_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable):
        async with Upstream(Address(scheme="unix", path=str(tmp_path / "no"))).exchange(
            "GET", "/x"
        ):
            pass


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
    ],
)
async def test_an_answer_that_is_cut_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async with engine(tmp_path, answering(answer)) as upstream:
        with pytest.raises(EngineError):
            async with upstream.exchange("GET", "/x") as got:
                await got.read()


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (b"Content-Length: 9\r\n\r\nhalf", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"4\r\nhalf\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\nx", b"4\r\nhalf\r\n1\r\nx\r\n"),
    ],
)
async def test_an_answer_that_is_cut_is_cut_for_the_client_too(
    tmp_path: Path, answer: bytes, ending: bytes
) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + answer
    async with (
        engine(tmp_path, answering(cut)) as upstream,
        standing(passing(upstream)) as stand,
    ):
        client = stand.client()
        await client.send(GET)
        if ending:
            assert (await client.rest()).endswith(b"1.41\r\n\r\n" + ending)
        else:
            assert (await client.answer())[0] == 502


async def test_an_answer_without_length_ends_with_its_connection(tmp_path: Path) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\n"
    body = early + b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\nall of it"
    async with (
        engine(tmp_path, answering(body)) as upstream,
        upstream.exchange("GET", "/x") as answer,
    ):
        assert (answer.status, await answer.read()) == (404, b"all of it")


async def test_an_answer_without_a_body_has_none(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nX-Docker-Container-Path-Stat: e30=\r\n\r\n"
    async with (
        engine(tmp_path, answering(head)) as upstream,
        upstream.exchange("HEAD", "/x") as answer,
    ):
        assert await answer.read() == b""
        assert answer.headers["x-docker-container-path-stat"] == "e30="


async def test_an_engine_that_says_nothing_is_an_error_in_time(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with engine(tmp_path, silent) as upstream:
        with pytest.raises(EngineError, match="no answer in time"):
            async with upstream.exchange("GET", "/x", timeout=0.01):
                pass


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'"x"', b"no", b"{" * 5000])
async def test_words_of_an_engine_that_says_no_json_are_text(tmp_path: Path, text: bytes) -> None:
    said = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
    async with (
        engine(tmp_path, answering(said)) as upstream,
        upstream.exchange("GET", "/x") as answer,
    ):
        assert await answer.message() == text.decode()[:500]


async def test_a_body_that_is_refused_is_not_sent_to_its_end(tmp_path: Path) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    refusal = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"
    async with (
        engine(tmp_path, answering(refusal)) as upstream,
        upstream.exchange("POST", "/build", body=body()) as answer,
    ):
        assert (answer.status, await answer.read()) == (413, b"no")
    assert sent < 50


async def test_an_answer_that_begins_early_does_not_end_the_body(tmp_path: Path) -> None:
    begun = asyncio.Event()
    got = b""

    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        got = await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"3\r\nall\r\n0\r\n\r\n")

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        await begun.wait()
        yield b"b"

    async with (
        engine(tmp_path, eager) as upstream,
        upstream.exchange("POST", "/images/load", body=body()) as answer,
    ):
        begun.set()
        assert await answer.read() == b"all"
    assert got == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


@pytest.mark.parametrize("early", [False, True])
async def test_a_body_that_breaks_off_does_not_look_complete(tmp_path: Path, early: bool) -> None:
    got: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if early:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        got.append(await reader.read())

    raised: list[BaseException] = []

    async with engine(tmp_path, handle) as upstream:

        async def handler(exchange: Exchange) -> None:
            try:
                await passing(upstream)(exchange)
            except ClientLeft as error:
                raised.append(error)
                raise

        async with standing(handler) as stand:
            client = stand.client()
            head = b"POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            await client.send(head + b"3\r\nabc\r\n")
            if early:
                await client.until(b"\r\n\r\n")
            client.half_close()
            await client.rest()
            async with asyncio.timeout(SECONDS):
                await asyncio.gather(*stand.serving)
    assert got == [b"3\r\nabc\r\n"]
    assert len(raised) == 1


async def test_a_client_that_leaves_drops_the_exchange_with_the_engine(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def following(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert await reader.read() == b""
        over.set()

    async with (
        engine(tmp_path, following) as upstream,
        standing(passing(upstream)) as stand,
    ):
        client = stand.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        client.close()
        async with asyncio.timeout(SECONDS):
            await over.wait()


async def test_nothing_of_the_engines_head_reaches_the_client(tmp_path: Path) -> None:
    said = (
        b"HTTP/1.1 301 Moved\r\nLocation: /v1.41/secret\r\nServer: Docker/20\r\nSet-Cookie: a\r\n"
        b"Keep-Alive: 5\r\nContent-Length: 0\r\n\r\n"
    )
    async with (
        engine(tmp_path, answering(said)) as upstream,
        standing(passing(upstream)) as stand,
    ):
        client = stand.client()
        await client.send(GET)
        head = await client.until(b"\r\n\r\n")
        assert head == (
            b"HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nApi-Version: 1.41\r\n\r\n"
        )
