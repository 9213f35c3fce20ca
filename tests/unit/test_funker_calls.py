"""Calling Funker functions, which are re-enacted at wire level."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.funker_peers import function

import wherry
from wherry import funker
from wherry.errors import TooLarge, UsageError
from wherry.funker import Caller, FunkerFailed, FunkerUnanswered, FunkerUnreachable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with made:
        yield f"127.0.0.1:{made.sockets[0].getsockname()[1]}"


def says(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(answer)
        writer.close()

    return serve


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_it_is_found_by_the_name_of_the_package() -> None:
    assert wherry.funker is funker


def test_arguments_by_name_come_back_as_a_value() -> None:
    with function(lambda data: json.dumps(sum(json.loads(data).values())).encode()) as port:
        assert funker.call(f"127.0.0.1:{port}", a=1, b=2) == 3


async def test_the_call_is_one_document_and_a_half_close() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())  # ends only with the half-close
        writer.write(b"null")
        writer.close()

    async with server(serve) as name:
        assert await funker.acall(name, a=1, b=["ü"]) is None
    assert [json.loads(data) for data in seen] == [{"a": 1, "b": ["ü"]}]


@pytest.mark.parametrize("name", ["name", "function", "self", "document", "timeout", "port"])
async def test_a_parameter_may_have_any_name(name: str) -> None:
    async with server(echo) as where:
        assert await funker.acall(where, **{name: 5}) == {name: 5}


@pytest.mark.parametrize("document", [5, "text", None, True, [1, {"a": None}], {}, 1.5, "\u2028𝄞"])
async def test_a_document_may_be_of_any_kind(document: Any) -> None:
    async with server(echo) as where:
        assert await funker.acall(where, document) == document


async def test_an_empty_answer_is_an_error_and_never_none() -> None:
    for nothing in (b"", b" \n"):
        async with server(says(nothing)) as where:
            with pytest.raises(FunkerUnanswered, match="without an answer"):
                await funker.acall(where)


@pytest.mark.parametrize("answer", [b"{", b"<html>", b"\xff", b"1 2", b"[" * 100_000])
async def test_an_answer_that_is_no_json_is_an_error(answer: bytes) -> None:
    async with server(says(answer)) as where:
        with pytest.raises(FunkerUnanswered, match="no JSON"):
            await funker.acall(where)


async def test_what_the_function_says_of_its_failure_is_raised() -> None:
    said = b'{"$funker-error": {"type": "ValueError", "message": "b is missing"}}'
    async with server(says(said)) as where:
        with pytest.raises(FunkerFailed, match="ValueError: b is missing") as caught:
            await funker.acall(where)
    assert caught.value.kind == "ValueError"


async def test_an_object_that_only_looks_like_an_error_is_an_answer() -> None:
    values: tuple[dict[str, Any], ...] = (
        {"$funker-error": "text"},
        {"$funker-error": {}, "more": 1},
        {"error": {}},
    )
    for value in values:
        async with server(says(json.dumps(value).encode())) as where:
            assert await funker.acall(where) == value


async def test_nobody_there_is_told_from_no_answer() -> None:
    with pytest.raises(FunkerUnreachable, match="cannot be reached"):
        await funker.acall(f"127.0.0.1:{free_port()}")
    with pytest.raises(FunkerUnreachable, match=r"nowhere.invalid"):
        await funker.acall("nowhere.invalid")


async def test_a_function_that_is_silent_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
            await writer.wait_closed()
        finally:
            writer.close()

    async with server(silent) as where:
        with pytest.raises(FunkerUnanswered, match=r"within 0.02 s"):
            await Caller(timeout=0.02).acall(where)


async def test_a_cut_connection_is_an_error() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b'{"half')
        await writer.drain()
        writer.transport.abort()

    async with server(cut) as where:
        with pytest.raises(FunkerUnanswered):
            await funker.acall(where, data="x" * 1000)


async def test_an_answer_before_the_whole_call_was_read_is_taken() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b'"early"')
        await writer.drain()
        await reader.read()
        writer.close()

    async with server(early) as where:
        assert await funker.acall(where, data="x" * 1_000_000) == "early"


async def test_documents_have_a_largest_size() -> None:
    async with server(echo) as where:
        small = Caller(max_bytes=100)
        with pytest.raises(TooLarge, match="more than 100"):
            await small.acall(where, data="x" * 200)
    async with server(says(b'"%s"' % (b"x" * 200))) as where:
        with pytest.raises(FunkerUnanswered, match="larger than 100"):
            await small.acall(where)


@pytest.mark.parametrize("name", ["", ":99", "host:", "host:x", "host:99999"])
async def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a host"):
        await funker.acall(name)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", object()])
async def test_what_is_no_json_is_not_sent(value: object) -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        await funker.acall("host", value)


async def test_a_document_and_names_at_one_time_are_refused() -> None:
    with pytest.raises(UsageError, match="one document, or arguments"):
        await funker.acall("host", 5, a=1)


async def test_the_plain_call_says_what_to_use_in_an_event_loop() -> None:
    with pytest.raises(UsageError, match=r"funker.acall"):
        funker.call("host")


async def test_a_silent_call_keeps_its_connection_alive() -> None:
    kept: list[tuple[int, int]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo(reader, writer)

    async with server(serve) as where:
        host, _, port = where.rpartition(":")
        caller = Caller()
        with await caller._connected(host, port=int(port), where="x") as connection:
            kept.append(
                (
                    connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                )
            )
    assert kept == [(1, 30)]
