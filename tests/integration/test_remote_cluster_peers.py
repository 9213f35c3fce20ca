"""Requests to other nodes, when those do not behave: one rule says what is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from wherry.remote.cluster.directory import Node
from wherry.remote.cluster.forwarded import client_of
from wherry.remote.cluster.peers import NoAnswer, NotAsked, Patience, Peers, TooLarge
from wherry.remote.cluster.seal import Seal
from wherry.remote.model import Answer, Call, Caller

SEAL = Seal("secret")
PATIENT = Patience(connect=20, accept=20, silence=20, probe=20)
BODY = b"image=busybox"
Serves = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def node(serves: Serves) -> AsyncIterator[Node]:
    """Run something that takes connections as a node does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serves(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Node(host=f"http://127.0.0.1:{port}", load=0.0, key="k")


@asynccontextmanager
async def peers(patience: Patience = PATIENT, *, most: int = 1000) -> AsyncIterator[Peers]:
    made = Peers(seal=SEAL, patience=patience, most=most)
    try:
        yield made
    finally:
        await made.aclose()


def call(method: str = "PUT", target: str = "", *, body: bytes = BODY) -> Call:
    return Call(
        method=method,
        target=target,
        query={"tail": "5 & more"} if target else {},
        fields={},
        body=body if method in {"PUT", "POST"} else b"",
        headers={"authorization": "Basic x", "connection": "close", "x-other": "y"},
        caller=Caller(name="admin", address="192.0.2.7"),
    )


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Take a request whole, as a server does."""
    had = await head(reader)
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await reader.readexactly(len(BODY)) == BODY
    return had


async def body_of(answer: Answer) -> bytes:
    assert not isinstance(answer.body, bytes)
    return b"".join([piece async for piece in answer.body])


async def test_a_request_goes_out_as_it_came_in_and_its_answer_comes_as_it_is() -> None:
    heads: list[bytes] = []

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await take(reader, writer))
        writer.write(
            b"HTTP/1.1 202 Accepted\r\nContent-Type: a/b\r\nX-Ratelimit-Limit: 60\r\n"
            b"X-Queue-Position: 3\r\nConnection: close\r\n\r\npart one, "
        )
        await writer.drain()
        await going_on.wait()
        writer.write(b"part two")

    going_on = asyncio.Event()
    async with node(serves) as to, peers() as client:
        answer = await client.relay(to, call())
        assert answer.status == 202
        assert answer.headers == {
            "content-type": "a/b", "x-queue-position": "3", "docker-server-host": to.host,
        }  # fmt: skip
        going_on.set()
        assert await body_of(answer) == b"part one, part two"
    lines = heads[0].decode().lower().split("\r\n")
    assert lines[0] == "put / http/1.1"
    told = dict(line.split(": ") for line in lines[1:-2])
    assert (told["content-length"], told["x-other"]) == (str(len(BODY)), "y")
    assert told["docker-server"] == "force"
    given = {**told, "authorization": "Basic x"}
    assert client_of(given, method="PUT", target="", seal=SEAL, key="k") == "192.0.2.7"


async def test_a_name_with_slashes_and_a_query_reach_the_node_as_they_are() -> None:
    lines: list[bytes] = []

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await head(reader)).split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with node(serves) as to, peers() as client:
        await client.ask(to, call("HEAD", "library/redis:7 %2F"))
    assert lines == [b"HEAD /library%2Fredis%3A7%20%252F?tail=5+%26+more HTTP/1.1"]


async def test_a_node_that_refuses_connections_was_surely_not_asked() -> None:
    async with peers() as client:
        with pytest.raises(NotAsked, match="no connection"):
            await client.relay(Node(host="http://127.0.0.1:9", load=0), call())
        with pytest.raises(NoAnswer, match="no connection"):
            await client.ask(Node(host="http://127.0.0.1:9", load=0), call("GET"))


async def test_a_node_that_takes_a_connection_and_no_body_was_surely_not_asked() -> None:
    got = asyncio.get_running_loop().create_future()

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())  # until the other end gives up

    async with node(serves) as to, peers(Patience(connect=0.1, accept=0.1)) as client:
        with pytest.raises(NotAsked, match="no sign of it in time"):
            await client.relay(to, call())
        assert BODY not in await asyncio.wait_for(got, 20)


async def test_a_node_that_closes_before_it_took_the_body_was_surely_not_asked() -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)

    async with node(serves) as to, peers() as client:
        with pytest.raises(NotAsked, match="the connection was closed"):
            await client.relay(to, call())


async def test_a_node_that_answers_without_taking_the_body_has_answered() -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")

    async with node(serves) as to, peers() as client:
        assert (await client.relay(to, call())).status == 401


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_body_is_never_sent_twice_whatever_becomes_of_it(method: str) -> None:
    taken = 0

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await take(reader, writer)  # and close: nobody knows what was done
        taken += 1

    async with node(serves) as to, peers() as client:
        for ask in (client.relay, client.ask):
            with pytest.raises(NoAnswer, match="the connection was closed"):
                await ask(to, call(method))
    assert taken == 2


async def test_a_node_is_waited_for_while_it_gives_a_sign_and_not_longer() -> None:
    probes = 0

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal probes
        first = await head(reader)
        if not first.startswith(b"GET / "):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await reader.read()
            return
        probes += 1
        answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
        writer.write(answer if probes < 4 else b"nonsense\r\n\r\n")

    patience = Patience(connect=20, accept=20, silence=0.05, probe=20)
    async with node(serves) as to, peers(patience) as client:
        with pytest.raises(NoAnswer, match="the connection was closed"):
            await client.relay(to, call())
    assert probes == 4


async def test_who_waits_for_one_node_waits_for_one_sign_of_it() -> None:
    probes, waiting = 0, 0
    going_on = asyncio.Event()

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal probes, waiting
        if b"authorization" not in (await head(reader)).lower():
            probes += 1
            await going_on.wait()
            writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
            return
        waiting += 1
        await going_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    patience = Patience(connect=20, silence=0.2, probe=20, lists=20)
    async with node(serves) as to, peers(patience) as client:
        asking = [asyncio.create_task(client.ask(to, call("GET"))) for _ in range(20)]
        async with asyncio.timeout(20):
            while waiting < 20 or probes < 1:
                await asyncio.sleep(0.01)
        going_on.set()
        assert {reply.status for reply in await asyncio.gather(*asking)} == {200}
    assert probes < 20


async def test_a_node_that_gives_no_sign_is_not_waited_for() -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await head(reader)
        if not first.startswith(b"GET / "):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.read()
        await reader.read()

    patience = Patience(connect=20, accept=20, silence=0.05, probe=0.05)
    async with node(serves) as to, peers(patience) as client:
        with pytest.raises(NoAnswer, match="no sign of it in time"):
            await client.relay(to, call())


async def test_an_answer_that_breaks_off_is_an_error_that_names_the_node() -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")

    async with node(serves) as to, peers() as client:
        answer = await client.relay(to, call())
        with pytest.raises(NoAnswer, match=r"http://127\.0\.0\.1:\d+ broke off"):
            await body_of(answer)


async def test_an_answer_that_does_not_come_in_time_is_given_up() -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"authorization" not in (await head(reader)).lower():
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            return
        await reader.read()

    patience = Patience(connect=20, silence=20, lists=0.3)
    async with node(serves) as to, peers(patience) as client:
        with pytest.raises(NoAnswer, match=r"within 0\.3 s"):
            await client.ask(to, call("GET"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000,
        b"",
    ],
)
async def test_an_answer_that_cannot_be_used_is_a_failure_of_that_node_alone(
    answer: bytes,
) -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(answer)

    async with node(serves) as to, peers() as client:
        with pytest.raises(NoAnswer):
            await client.ask(to, call("GET"))


async def test_an_answer_that_is_too_large_is_let_go_of_and_the_node_is_well() -> None:
    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000)

    async with node(serves) as to, peers() as client:
        with pytest.raises(TooLarge):
            await client.ask(to, call("GET", "web"))


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    seen = 0

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await head(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")

    async with node(serves) as to, peers() as client:
        assert (await client.ask(to, call("GET"))).status == 302
    assert seen == 1


async def test_who_leaves_an_answer_leaves_the_node() -> None:
    left = asyncio.Event()

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await reader.read()
        left.set()

    async with node(serves) as to, peers() as client:
        answer = await client.relay(to, call())
        close = getattr(answer.body, "aclose")  # noqa: B009 - an iterator need not have one
        await close()
        await asyncio.wait_for(left.wait(), 10)


async def test_who_leaves_while_a_node_works_leaves_the_node() -> None:
    taken, left = asyncio.Event(), asyncio.Event()

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader, writer)
        taken.set()
        await reader.read()
        left.set()

    async with node(serves) as to, peers() as client:
        asking = asyncio.create_task(client.relay(to, call("POST", "web")))
        await asyncio.wait_for(taken.wait(), 10)
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        await asyncio.wait_for(left.wait(), 10)
