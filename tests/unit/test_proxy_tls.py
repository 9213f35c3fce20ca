"""TLS in front of the proxy: who may come, and an end for each direction."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.certificates import Certificates, make_certificates
from tests.support.proxy_wire import SECONDS, echo, engine, passing

from wherry.engines.docker.address import Address, Tls
from wherry.engines.docker.dial import Dialer
from wherry.errors import UsageError
from wherry.proxy.front import Exchange, Front, Handler, Patience, Peer, listen_tls
from wherry.proxy.tls import server_context

if TYPE_CHECKING:
    from wherry.engines.docker.duplex import Duplex

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
EXEC = (
    b"POST /v1.41/exec/e/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def listening(files: Certificates, handler: Handler) -> AsyncIterator[Dialer]:
    """Listen for clients of one certificate, and yield what dials as one."""
    front = Front(handler, patience=Patience(linger=0.05))
    der = ssl.PEM_cert_to_DER_cert(files.cert.read_text())
    tenants = {hashlib.sha256(der).hexdigest(): front}
    context = server_context(ca=files.ca, cert=files.server_cert, key=files.server_key)
    listener = listen_tls(
        "127.0.0.1", 0, context=context, choose=lambda peer: tenants.get(peer.certificate)
    )
    tls = Tls(ca=files.ca, cert=files.cert, key=files.key)
    try:
        yield Dialer(Address(scheme="tcp", host="127.0.0.1", port=listener.port, tls=tls))
    finally:
        await listener.close()
        await front.stop(grace=SECONDS)


@asynccontextmanager
async def dialed(dialer: Dialer) -> AsyncIterator[Duplex]:
    duplex = await dialer.dial()
    try:
        async with asyncio.timeout(SECONDS):
            yield duplex
    finally:
        duplex.close()
        await duplex.wait_closed()


async def rest(duplex: Duplex) -> bytes:
    data = b""
    while piece := await duplex.read():
        data += piece
    return data


async def test_a_client_is_known_by_its_certificate(files: Certificates) -> None:
    peers: list[Peer] = []

    async def handler(exchange: Exchange) -> None:
        peers.append(exchange.peer)
        await exchange.answer(200)

    async with listening(files, handler) as dialer, dialed(dialer) as client:
        await client.write(GET * 2)
        await client.end()
        assert (await rest(client)).count(b"HTTP/1.1 200 OK") == 2
    assert {(peer.kind, peer.subject) for peer in peers} == {("tls", "client")}


async def test_a_client_without_a_certificate_of_ours_gets_nothing(
    files: Certificates, tmp_path: Path
) -> None:
    stranger = make_certificates(tmp_path)
    async with listening(files, echo) as dialer:
        where = dialer._address
        assert where.port
        for tls in (
            Tls(ca=files.ca),
            Tls(ca=files.ca, cert=stranger.cert, key=stranger.key),
            Tls(ca=files.ca, cert=files.server_cert, key=files.server_key),
        ):
            other = Dialer(Address(scheme="tcp", host=where.host, port=where.port, tls=tls))
            assert await answer_to(other, GET) == b""
        async with dialed(dialer) as client:
            await client.write(GET)
            assert (await client.read()).startswith(b"HTTP/1.1 200 ")


async def answer_to(dialer: Dialer, data: bytes) -> bytes:
    """Return what a client that may be refused gets; in TLS 1.3 it hears of that on reading."""
    try:
        async with dialed(dialer) as client:
            await client.write(data)
            return await client.read()
    except (ssl.SSLError, OSError):
        return b""


async def test_a_connection_without_tls_gets_nothing(files: Certificates) -> None:
    async with listening(files, echo) as dialer:
        where = dialer._address
        reader, writer = await asyncio.open_connection(where.host, where.port)
        writer.write(GET)
        async with asyncio.timeout(SECONDS):
            assert b"HTTP" not in await reader.read()
        writer.close()


async def test_an_exec_that_ends_its_input_at_once_gets_its_output(
    files: Certificates, tmp_path: Path
) -> None:
    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        assert await reader.read() == b""
        writer.write(b"output " * 30_000)
        await writer.drain()

    async with (
        engine(tmp_path, container) as upstream,
        listening(files, passing(upstream)) as dialer,
    ):
        for _ in range(5):
            async with dialed(dialer) as client:
                await client.write(EXEC)
                assert (await client.read()).startswith(b"HTTP/1.1 101 ")
                await client.end()
                assert await rest(client) == b"output " * 30_000


async def test_both_directions_go_on_while_both_are_full(
    files: Certificates, tmp_path: Path
) -> None:
    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    data = bytes(range(251)) * 20_000
    async with (
        engine(tmp_path, container) as upstream,
        listening(files, passing(upstream)) as dialer,
        dialed(dialer) as client,
    ):
        await client.write(EXEC)
        assert (await client.read()).startswith(b"HTTP/1.1 101 ")

        async def send() -> None:
            await client.write(data)
            await client.end()

        sending = asyncio.create_task(send())
        assert await rest(client) == data
        await sending


async def test_a_client_that_leaves_under_tls_ends_what_it_waited_for(files: Certificates) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        try:
            async with exchange.while_present():
                begun.set()
                await asyncio.Event().wait()
        finally:
            ended.set()

    async with listening(files, handler) as dialer:
        async with dialed(dialer) as client:
            await client.write(GET)
            await begun.wait()
            await client.end()  # which is not leaving
            await asyncio.sleep(0.02)
            assert not ended.is_set()
        async with asyncio.timeout(SECONDS):
            await ended.wait()


def test_certificates_that_do_not_fit_are_an_error(files: Certificates, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no authority, certificate and key"):
        server_context(ca=files.ca, cert=files.server_cert, key=files.key)
    with pytest.raises(UsageError):
        server_context(ca=tmp_path / "none", cert=files.server_cert, key=files.server_key)
