"""The API client against a server that answers as the test wants, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import pytest

from wherry.engines.docker.address import Address
from wherry.engines.docker.client import DockerClient
from wherry.engines.docker.failures import Refused
from wherry.errors import EngineError, EngineUnavailable

PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


class Engine:
    """Answers each request with the next of its answers, the ping aside; None: nothing."""

    def __init__(self, *answers: bytes | None, ping: bytes = PING, keep: bool = True) -> None:
        self.answers = list(answers)
        self.ping = ping
        self.keep = keep
        self.requests: list[str] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"content-length: 0" not in head.lower():
                    await reader.read(65536)
                line = head.split(b"\r\n")[0].decode()
                if "/_ping" in line:
                    writer.write(self.ping)
                    continue
                self.requests.append(line.removesuffix(" HTTP/1.1"))
                given = self.answers.pop(0)
                if given is None:
                    await asyncio.Event().wait()
                writer.write(given or b"")
                await writer.drain()
                if not self.keep:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def client_of(
    engine: Serve, tmp_path: Path, timeout: float = 5
) -> AsyncIterator[DockerClient]:
    path = tmp_path / "engine.sock"
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await engine(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    server = await asyncio.start_unix_server(serve, path)
    client = DockerClient(Address(scheme="unix", path=str(path)), timeout=timeout)
    try:
        yield client
    finally:
        await client.aclose()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_connections_are_kept_and_used_again(tmp_path: Path) -> None:
    engine = Engine(answer(b'{"n": 1}'), answer(b""), answer(b"[]"))
    async with client_of(engine, tmp_path) as client:
        assert await client.call("GET", "/a", query={"all": True, "no": None}) == {"n": 1}
        assert await client.call("POST", "/b") is None
        assert await client.call("GET", "/c") == []
    assert engine.requests == ["GET /v1.41/a?all=1", "POST /v1.41/b", "GET /v1.41/c"]
    assert engine.connections == 1


@pytest.mark.parametrize("version", [b"1.40", b"0.9", b"", b"soon"])
async def test_an_engine_that_is_too_old_is_said_to_be(tmp_path: Path, version: bytes) -> None:
    engine = Engine(ping=PING.replace(b"1.41", version))
    async with client_of(engine, tmp_path) as client:
        with pytest.raises(EngineUnavailable, match=r"1\.41 \(Docker 20\.10\) or newer"):
            await client.call("GET", "/a")


async def test_a_newer_engine_is_spoken_to_in_the_newest_version_we_know(tmp_path: Path) -> None:
    engine = Engine(answer(b"1"), ping=PING.replace(b"1.41", b"1.999"))
    async with client_of(engine, tmp_path) as client:
        await client.call("GET", "/a")
    assert engine.requests == ["GET /v1.52/a"]


async def test_nobody_listening_is_named_with_the_address(tmp_path: Path) -> None:
    client = DockerClient(Address(scheme="unix", path=str(tmp_path / "nobody.sock")))
    with pytest.raises(EngineUnavailable, match=r"nobody\.sock cannot be reached: .*No such file"):
        await client.call("GET", "/a")


async def test_a_refusal_has_the_engines_words_and_keeps_the_connection(tmp_path: Path) -> None:
    refusal = answer(b'{"message": "no such thing"}', "404 Not Found")
    engine = Engine(refusal, answer(b"1"))
    async with client_of(engine, tmp_path) as client:
        with pytest.raises(Refused, match=r"GET /v1\.41/a was refused: no such thing") as caught:
            await client.call("GET", "/a")
        assert (caught.value.status, caught.value.reason) == (404, "no such thing")
        assert await client.call("GET", "/b") == 1
    assert engine.connections == 1


async def test_a_stalled_engine_is_given_up_on_in_time(tmp_path: Path) -> None:
    async with client_of(Engine(None), tmp_path, timeout=0.05) as client:
        with pytest.raises(EngineError, match=r"POST /v1\.41/a failed: no answer in time"):
            await client.call("POST", "/a")


async def test_a_body_that_stalls_is_given_up_on_in_time(tmp_path: Path) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    async with client_of(Engine(half), tmp_path, timeout=0.05) as client:
        with pytest.raises(EngineError, match="no answer in time"):
            await client.call("GET", "/a")


@pytest.mark.parametrize(
    "cut",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        b"\0\1\2 this is not HTTP\r\n\r\n",
    ],
)
async def test_an_answer_that_is_cut_is_an_error_and_no_answer(tmp_path: Path, cut: bytes) -> None:
    async with client_of(Engine(cut, keep=False), tmp_path) as client:
        with pytest.raises(EngineError, match=r"POST /v1\.41/a"):
            await client.call("POST", "/a")


async def test_connections_are_opened_beforehand_as_far_as_they_are_missing(
    tmp_path: Path,
) -> None:
    engine = Engine(*[answer(b"{}")] * 4)
    async with client_of(engine, tmp_path) as client:
        await client.version()
        await client.warm(3)
        await client.warm(2)
        await asyncio.gather(*(client.call("GET", f"/{number}") for number in range(3)))
        assert engine.connections == 3
        await client.aclose()
        await client.warm(3)
        await client.call("GET", "/after")
    assert engine.connections == 7


async def test_nobody_learns_from_warming_up_that_there_is_no_engine(tmp_path: Path) -> None:
    client = DockerClient(Address(scheme="unix", path=str(tmp_path / "none")))
    await client.warm(2)
    with pytest.raises(EngineUnavailable):
        await client.version()


async def test_what_cannot_do_harm_twice_is_asked_again_on_a_fresh_connection(
    tmp_path: Path,
) -> None:
    """An engine may close an idle connection at the very moment a request is sent on it."""
    engine = Engine(b"", answer(b"2"), keep=False)
    engine.ping = PING
    async with client_of(engine, tmp_path) as client:
        assert await client.call("GET", "/a") == 2
    assert engine.requests == ["GET /v1.41/a", "GET /v1.41/a"]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
    ],
    ids=["101", "200"],
)
async def test_bytes_behind_the_head_of_a_hijacked_stream_are_carried_over(
    tmp_path: Path, head: bytes
) -> None:
    said: list[bytes] = []

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PING)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"first")
        said.append(await reader.read())  # to the half-close
        writer.write(b"last")
        writer.close()

    async with client_of(engine, tmp_path) as client:
        request = await client.request("POST", "/attach", upgrade=True)
        stream, carried = await client.hijack(request)
        await stream.write(b"typed")
        await stream.end()
        rest = b""
        while data := await stream.read():
            rest += data
        stream.close()
    assert carried + rest == b"firstlast"
    assert said == [b"typed"]


async def test_a_cancelled_exchange_is_never_continued_by_the_next_one(tmp_path: Path) -> None:
    engine = Engine(None, answer(b"2"))
    async with client_of(engine, tmp_path) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await client.call("GET", "/slow")
        assert await client.call("GET", "/b") == 2
    assert engine.connections == 2


async def test_an_answer_before_the_end_of_the_body_is_read(tmp_path: Path) -> None:
    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PING)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b'{"message": "too much"}', "400 Bad Request"))
        await reader.read()  # as real servers do: they wait a moment before they close
        writer.close()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    async with client_of(engine, tmp_path) as client:
        request = await client.request("PUT", "/archive", body=endless())
        with pytest.raises(Refused, match="too much"):
            await client.send(request)


async def test_chunks_that_come_together_are_one_piece_also_before_a_cut(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    engine = Engine(head + b"2\r\na\n\r\n" * 50 + b"5\r\ncut", keep=False)
    async with client_of(engine, tmp_path) as client:
        response = await client.send(await client.request("GET", "/containers/x/logs"))
        pieces = []
        with pytest.raises((EOFError, h11.RemoteProtocolError)):  # noqa: PT012 - until it is cut
            async for piece in response.stream():
                pieces.append(piece)  # noqa: PERF401 - what came before the cut counts
        client.release(response.connection)
    assert pieces[0].startswith(b"a\n" * 50)
