"""Hijacked connections: each direction ends on its own, and nothing is lost between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.proxy_wire import (
    SECONDS,
    Client,
    EngineHandler,
    Standing,
    engine,
    passing,
    standing,
)

from wherry.proxy.front import Exchange, Patience
from wherry.proxy.upstream import Hijacked
from wherry.proxy.wires import SocketWire

ATTACH = (
    b"POST /v1.41/containers/c/attach?stdin=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: tcp\r\nContent-Length: 2\r\n\r\n{}"
)
SWITCHED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\nX-Secret: 1\r\n\r\n"
)
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
ASKED = b"\r\n\r\n{}"


@asynccontextmanager
async def attached(
    directory: Path, handle: EngineHandler
) -> AsyncIterator[tuple[Client, Standing]]:
    patience = Patience(linger=0.05)
    async with (
        engine(directory, handle) as upstream,
        standing(passing(upstream), patience) as stand,
    ):
        yield stand.client(), stand


async def test_the_end_of_each_direction_is_a_half_close(tmp_path: Path) -> None:
    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(SWITCHED)
        stdin = await reader.read()
        writer.write(b"got " + stdin)
        writer.write_eof()

    async with attached(tmp_path, container) as (client, _):
        await client.send(ATTACH)
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Upgrade: tcp" in head
        assert b"Secret" not in head
        await client.send(b"input")
        client.half_close()
        assert await client.rest() == b"got input"


async def test_output_that_ends_first_does_not_end_input(tmp_path: Path) -> None:
    read = asyncio.Event()
    stdin = b""

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal stdin
        await reader.readuntil(ASKED)
        writer.write(SWITCHED + b"bye")
        writer.write_eof()
        stdin = await reader.read()
        read.set()

    async with attached(tmp_path, container) as (client, _):
        await client.send(ATTACH)
        assert (await client.rest()).endswith(b"\r\n\r\nbye")
        await client.send(b"still ")
        await client.send(b"here")
        client.half_close()
        async with asyncio.timeout(SECONDS):
            await read.wait()
    assert stdin == b"still here"


async def test_bytes_after_the_body_are_input_only_of_what_was_hijacked(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        if seen:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
            assert await reader.read() == b""
            return
        writer.write(SWITCHED)
        seen.append(await reader.read())

    async with engine(tmp_path, container) as upstream:

        async def handler(exchange: Exchange) -> None:
            if exchange.request.method == "GET":
                await exchange.answer(200, b"filtered")
            else:
                await passing(upstream)(exchange)

        inner = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
        async with standing(handler) as stand:
            client = stand.client()
            await client.send(ATTACH + inner)
            client.half_close()
            await client.rest()
            assert seen == [inner]
            client = stand.client()
            await client.send(ATTACH + inner)
            assert await client.answer() == (404, b"no")
            assert await client.answer() == (200, b"filtered")


async def test_an_engine_that_was_not_asked_to_upgrade_hijacks_with_200(tmp_path: Path) -> None:
    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"pgrade" not in await reader.readuntil(ASKED)
        writer.write(PLAIN)
        writer.write((await reader.read()).upper())

    async with attached(tmp_path, container) as (client, _):
        asked = ATTACH.replace(b"Connection: Upgrade\r\nUpgrade: tcp\r\n", b"")
        await client.send(asked + b"shout")
        client.half_close()
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"ength" not in head
        assert body == b"SHOUT"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 UPGRADED\r\n\r\n",
    ],
)
async def test_a_switch_nobody_asked_for_is_none(tmp_path: Path, answer: bytes) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(answer)
        assert await reader.read() == b""

    async with attached(tmp_path, odd) as (client, _):
        await client.send(ATTACH)
        assert (await client.answer())[0] == 502


async def test_a_client_that_is_gone_takes_the_engine_with_it_after_its_input(
    tmp_path: Path,
) -> None:
    stdin: list[bytes] = []
    over = asyncio.Event()

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(SWITCHED)
        stdin.append(await reader.read())
        over.set()
        await asyncio.Event().wait()  # it says nothing, and ends nothing

    async with attached(tmp_path, container) as (client, stand):
        await client.send(ATTACH)
        await client.until(b"\r\n\r\n")
        await client.send(b"x" * 100_000)
        client.close()
        async with asyncio.timeout(SECONDS):
            await over.wait()
            await asyncio.gather(*stand.serving)
        assert stdin == [b"x" * 100_000]


async def test_an_engine_that_is_gone_takes_the_client_with_it(tmp_path: Path) -> None:
    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(SWITCHED + b"out")
        await writer.drain()

    async with attached(tmp_path, container) as (client, stand):
        await client.send(ATTACH)
        assert (await client.rest()).endswith(b"out")
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*stand.serving)  # though the client has not ended its side


async def test_input_that_is_not_read_any_more_does_not_stop_output(tmp_path: Path) -> None:
    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(SWITCHED)
        await reader.readexactly(10)
        writer.get_extra_info("socket")._sock.shutdown(0)  # no more input is taken
        writer.write(b"o" * 300_000)

    async with attached(tmp_path, container) as (client, _):
        await client.send(ATTACH)
        await client.until(b"\r\n\r\n")
        sending = asyncio.create_task(client.send(b"i" * 5_000_000))
        assert await client.rest() == b"o" * 300_000
        await asyncio.gather(sending, return_exceptions=True)


async def test_who_does_not_read_stops_who_writes_and_nothing_is_lost(tmp_path: Path) -> None:
    size = 8 << 20
    going = asyncio.Event()

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(SWITCHED)
        await writer.drain()
        await going.wait()
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    data = bytes(range(251)) * (size // 251)
    async with attached(tmp_path, container) as (client, _):
        await client.send(ATTACH)
        await client.until(b"\r\n\r\n")

        async def send() -> None:
            await client.send(data)
            client.half_close()

        sending = asyncio.create_task(send())
        await asyncio.wait([sending], timeout=0.05)
        assert not sending.done()
        going.set()
        assert await client.rest() == data


async def test_the_head_of_a_hijack_is_sent_on_its_own(tmp_path: Path) -> None:
    writes: list[bytes] = []

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(ASKED)
        writer.write(SWITCHED + b"early output")

    class Recorded(SocketWire):
        async def write(self, data: bytes) -> None:
            writes.append(data)
            await super().write(data)

    async with engine(tmp_path, container) as upstream:

        async def handler(exchange: Exchange) -> None:
            body = await exchange.request.body.read()
            async with upstream.hijack("POST", "/c/attach", body=body) as got:
                assert isinstance(got, Hijacked)
                assert got.carried == b"early output"
                await exchange.hijack(got)

        async with standing(handler, wire=Recorded) as stand:
            client = stand.client()
            await client.send(ATTACH)
            await client.rest()
    assert writes[0].endswith(b"\r\n\r\n")
    assert writes[1:] == [b"early output"]
