"""Web servers in sandboxes without a network, behind a real gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import aiohttp
import pytest
from tests.support.web_functions import Gateway, data_with_web, gateway

from wherry.engines.local import marker

PATIENCE = 60.0


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with data_with_web() as data:
        yield data


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[Gateway]:
    with gateway(data, "--idle", "1s") as it:
        yield it


@pytest.fixture
def web(served: Gateway) -> str:
    return served.deploy(
        "web", "/usr/bin/python3", "/server.py", image="web",
        labels={"mode": "http", "health": "/healthz", "port": "9000"},
    )  # fmt: skip


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as made:
        yield made


async def told(session: aiohttp.ClientSession, url: str) -> dict[str, object]:
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, object] = await answer.json(content_type=None)
        return found


async def test_one_container_answers_many_requests(
    web: str, session: aiohttp.ClientSession
) -> None:
    answers = await asyncio.gather(*(told(session, f"{web}/a/{n}?q={n}") for n in range(30)))
    assert [answer["path"] for answer in answers] == [f"/a/{n}?q={n}" for n in range(30)]
    assert len({answer["pid"] for answer in answers}) == 1


async def test_megabytes_stream_both_ways(web: str, session: aiohttp.ClientSession) -> None:
    piece = os.urandom(65536)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(256):
            yield piece

    async with session.post(web, data=pieces()) as answer:
        assert await answer.read() == piece * 256


async def test_a_request_and_its_answer_take_turns(
    web: str, session: aiohttp.ClientSession
) -> None:
    answered = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await answered.wait()
        yield b"two"

    async with session.post(web, data=pieces()) as answer:
        assert await answer.content.readexactly(3) == b"one"
        answered.set()
        assert await answer.content.read() == b"two"


async def test_events_come_as_they_are_sent(web: str, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{web}/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for number in range(5):
            assert await answer.content.readuntil(b"\n\n") == b"data: %d\n\n" % number


async def test_a_websocket_speaks_text_bytes_and_closes(
    web: str, session: aiohttp.ClientSession
) -> None:
    async with session.ws_connect(f"{web}/ws", protocols=("chat", "other")) as ws:
        assert ws.protocol == "chat"
        await ws.send_str("hällo")
        assert await ws.receive_str() == "hällo"
        await ws.send_bytes(bytes(100_000))
        assert await ws.receive_bytes() == bytes(100_000)
        await ws.send_str("bye")
        closed = await ws.receive()
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4001)
        assert closed.extra == "as you like"


async def test_a_websocket_that_the_server_refuses_is_refused(
    web: str, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(f"{web}/elsewhere")
    assert refused.value.status in (200, 403)


async def test_a_server_that_crashes_is_started_again(
    web: str, session: aiohttp.ClientSession
) -> None:
    before = await told(session, web)
    async with session.get(f"{web}/crash") as answer:
        assert answer.status == 502
    assert (await told(session, web))["path"] == before["path"]


async def test_an_idle_server_ends_and_comes_back(
    web: str, served: Gateway, session: aiohttp.ClientSession
) -> None:
    await told(session, web)
    async with asyncio.timeout(PATIENCE):
        while sandboxes(served.served.process.pid):
            await asyncio.sleep(0.05)
    assert (await told(session, web))["path"] == "/"


async def test_a_path_of_the_gateways_own_leads_to_the_server(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    served.deploy(
        "shop", "/usr/bin/python3", "/server.py", image="web",
        labels={"mode": "http", "path": "/shop"},
    )  # fmt: skip
    found = await told(session, f"{served.url}/shop/cart?x=1")
    assert found["path"] == "/cart?x=1"
    headers = found["headers"]
    assert isinstance(headers, dict)
    assert headers["x-forwarded-prefix"] == "/shop"
    async with session.get(f"{served.url}/shopping") as answer:
        assert answer.status == 404


async def test_busyboxs_own_server_works_as_it_is(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    url = served.deploy(
        "files", "httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/etc", image="busybox",
        labels={"mode": "http"},
    )  # fmt: skip
    async with session.get(f"{url}/group") as answer:
        assert answer.status == 200
        assert (await answer.text()).startswith("root:x:0:")


async def test_a_server_that_does_not_come_up_is_told_with_its_last_words(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    url = served.deploy(
        "broken", "sh", "-c", "echo no database >&2; exit 3", image="busybox",
        labels={"mode": "http"},
    )  # fmt: skip
    async with session.get(url) as answer:
        assert answer.status == 502
        assert "exit status 3" in (text := await answer.text())
        assert "no database" in text


async def test_what_it_writes_is_in_its_log(
    web: str, served: Gateway, session: aiohttp.ClientSession
) -> None:
    await told(session, web)
    async with session.get(f"{served.url}/system/logs?name=web&tail=0") as answer:
        assert "listening" in await answer.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_end_of_the_gateway_leaves_nothing(number: int) -> None:
    killed = "it was killed" if number == signal.SIGKILL else ""
    with data_with_web() as data, ending(killed), gateway(data) as served:
        url = served.deploy(
            "web", "/usr/bin/python3", "/server.py", image="web", labels={"mode": "http"}
        )
        async with aiohttp.ClientSession() as session:
            await told(session, url)
        pid = served.served.process.pid
        assert sandboxes(pid)
        served.served.process.send_signal(number)
        assert await asyncio.to_thread(served.served.process.wait, PATIENCE) in (0, -9)
        async with asyncio.timeout(PATIENCE):
            while sandboxes(pid):
                await asyncio.sleep(0.05)
        if killed:
            raise RuntimeError(killed)  # it cannot end well any more


def ending(words: str) -> AbstractContextManager[object]:
    return pytest.raises(RuntimeError, match=words) if words else nullcontext()


def sandboxes(pid: int) -> list[marker.Sighting]:
    """Return the processes of sandboxes that a process has called."""
    return [seen for seen in marker.sightings() if seen.marker.owner.pid == pid]
