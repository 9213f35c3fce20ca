"""CGI programs in real sandboxes, behind a real gateway: shell scripts in busybox."""

from __future__ import annotations

import asyncio
import http.client
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.support.local_calls import data_with_busybox
from tests.support.waiting import wait_until
from tests.support.web_functions import Gateway, gateway

from wherry.engines.local import marker

SHOW = r"""
printf 'Content-Type: text/plain\r\nX-From: the program\r\n\r\n'
env | sort; echo --; cat
"""


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with data_with_busybox() as data:
        yield data


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[Gateway]:
    with gateway(data) as it:
        yield it


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as made:
        yield made


def script(served: Gateway, name: str, text: str, **labels: str) -> str:
    return served.deploy(name, "sh", "-c", text, image="busybox", labels={"mode": "cgi", **labels})


async def told(answer: aiohttp.ClientResponse) -> tuple[dict[str, str], bytes]:
    head, _, body = (await answer.read()).partition(b"--\n")
    return dict(line.split("=", 1) for line in head.decode().splitlines()), body


async def test_a_script_sees_its_request(served: Gateway, session: aiohttp.ClientSession) -> None:
    url = script(served, "show", SHOW)
    async with session.get(f"{url}/a%20b?x=1", headers={"Proxy": "evil", "X-One": "1"}) as answer:
        assert answer.status == 200
        assert answer.headers["x-from"] == "the program"
        found, _ = await told(answer)
    assert found["SCRIPT_NAME"] == "/function/show"
    assert found["PATH_INFO"] == "/a b"
    assert found["QUERY_STRING"] == "x=1"
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert found["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert found["HTTP_X_ONE"] == "1"
    assert "HTTP_PROXY" not in found
    assert "CONTENT_LENGTH" not in found


async def test_a_form_is_stdin(served: Gateway, session: aiohttp.ClientSession) -> None:
    url = script(served, "show", SHOW)
    async with session.post(url, data={"a": "1", "b": "2"}) as answer:
        found, body = await told(answer)
    assert found["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
    assert found["CONTENT_LENGTH"] == "7"
    assert body == b"a=1&b=2"


async def test_a_chunked_body_has_a_length(served: Gateway, session: aiohttp.ClientSession) -> None:
    piece = os.urandom(100_000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield piece

    url = script(served, "show", SHOW)
    async with session.post(url, data=pieces()) as answer:
        found, body = await told(answer)
    assert found["CONTENT_LENGTH"] == "3000000"
    assert body == piece * 30


async def test_a_prefix_leads_to_a_script_and_only_at_its_boundary(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    script(served, "vote", SHOW, path="/vote")
    for path, info in (("/vote", ""), ("/vote/", "/"), ("/vote/1", "/1")):
        async with session.get(served.url + path) as answer:
            found, _ = await told(answer)
            assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/vote", info)
    async with session.get(f"{served.url}/voters") as answer:
        assert answer.status == 404


async def test_redirects_inside_and_outside(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    script(served, "show", SHOW)
    inside = script(served, "inside", "printf 'Location: /function/show/here?q=1\\n\\n'")
    outside = script(served, "outside", "printf 'Location: http://example.com/\\n\\n'")
    async with session.post(inside, data=b"body") as answer:
        found, body = await told(answer)
    assert (found["REQUEST_METHOD"], found["PATH_INFO"], body) == ("GET", "/here", b"")
    async with session.get(outside, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (302, "http://example.com/")


async def test_the_status_is_the_scripts(served: Gateway, session: aiohttp.ClientSession) -> None:
    url = script(served, "tea", "printf 'Status: 418 Teapot\\n\\nshort and stout'")
    async with session.get(url) as answer:
        assert (answer.status, await answer.read()) == (418, b"short and stout")


async def test_what_is_no_answer_is_a_502_and_stderr_is_in_the_log(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    url = script(served, "bad", "echo went wrong >&2; exit 3")
    async with session.get(url) as answer:
        assert answer.status == 502
        assert "returned non-zero exit status 3" in await answer.text()
    async with session.get(f"{served.url}/system/logs?name=bad&tail=0") as answer:
        assert "went wrong" in await answer.text()


async def test_a_client_that_leaves_kills_the_script(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    url = script(
        served, "endless", "printf 'Status: 200\\n\\nhello'; exec sleep 3600", ready="none"
    )
    async with session.get(url) as answer:
        assert await answer.content.readexactly(5) == b"hello"
        answer.close()
    await until_gone("endless.openfaas-fn")


async def test_a_timeout_is_a_504_or_an_answer_that_breaks_off(
    served: Gateway, session: aiohttp.ClientSession
) -> None:
    url = script(served, "slow", "sleep 3600", timeout="300ms")
    async with session.get(url) as answer:
        assert answer.status == 504
    url = script(served, "half", "printf 'Status: 200\\n\\nhalf'; sleep 3600", timeout="300ms")
    with pytest.raises((aiohttp.ClientError, http.client.IncompleteRead)):
        async with session.get(url) as answer:
            await answer.read()


async def until_gone(function: str) -> None:
    def gone() -> bool:
        return function not in [seen.marker.function for seen in marker.sightings()]

    await asyncio.to_thread(wait_until, gone, seconds=60)
