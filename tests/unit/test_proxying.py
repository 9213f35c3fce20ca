"""Requests to functions that are servers, through a gateway, in the memory engine."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
from tests.support.asgi import App, Asgi
from tests.support.functions import Registry, deployed
from tests.support.http_servers import Exchange, Handle, http
from tests.support.kept_servers import server

from wherry.client import AsyncClient
from wherry.service.keeping import Keeping
from wherry.service.patience import Patience
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine
from wherry.triggers.http.invoke import Invoke
from wherry.triggers.http.parts import Parts
from wherry.triggers.http.proxying import Proxy
from wherry.web.duplex import AnswerCut

QUICK = Patience(start=5, stop=2, drain=5, first_pause=0.001, longest_pause=0.01)


class Gateway:
    def __init__(self, app: App, service: FunctionService, engine: MemoryEngine) -> None:
        self.app = app
        self.ask = Asgi(app, host="example.com", client=("10.0.0.7", 4000))
        self.service = service
        self.engine = engine


@asynccontextmanager
async def gateway(handle: Handle, directory: Path, **settings: Any) -> AsyncIterator[Gateway]:
    engine = MemoryEngine({"web": server(http(handle))})
    functions = Registry(deployed("web", image="web", **{"mode": "http", **settings}))
    async with AsyncClient(engine) as client, asyncio.timeout(20):
        keeping = Keeping(client, directory / "doors", patience=QUICK)
        service = FunctionService(client, functions, keeping=keeping)
        store: Any = functions
        parts = Parts(service=service, functions=store)
        try:
            yield Gateway(Invoke(parts, modes={"http": Proxy(parts)}), service, engine)
        finally:
            await service.aclose()
            assert engine.running == {}


async def show(it: Exchange) -> None:
    body = b"".join([chunk async for chunk in it.body()])
    found = {
        "method": it.request.method.decode(),
        "target": it.target,
        "headers": it.headers,
        "body": body.decode(),
    }
    await it.answer(json.dumps(found).encode())


async def echo(it: Exchange) -> None:
    await it.begin()
    async for data in it.body():
        await it.write(data)
    await it.send(h11.EndOfMessage())


async def test_a_request_comes_through_with_its_path_below_the_function(tmp_path: Path) -> None:
    async with gateway(show, tmp_path) as it:
        answer = await it.ask("GET /function/web/a%2Fb/c%20d?x=%20&y", headers={"X-Call-Id": "me"})
        calls = it.service.running(it.service.find("web"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "a/b"
    assert answer.headers["x-call-id"] == "me"
    assert answer.json["method"] == "GET"
    assert answer.json["target"] == "/a%2Fb/c%20d?x=%20&y"
    assert answer.json["headers"]["x-call-id"] == "me"
    assert calls == 0


@pytest.mark.parametrize("path", ["/function/web", "/function/web/"])
async def test_the_function_itself_is_the_servers_root(path: str, tmp_path: Path) -> None:
    async with gateway(show, tmp_path) as it:
        assert (await it.ask(f"GET {path}")).json["target"] == "/"


async def test_a_server_that_starts_with_its_first_request_counts_as_one_that_is_there(
    tmp_path: Path,
) -> None:
    async with gateway(show, tmp_path) as it:
        web = it.service.find("web")
        assert (it.service.ready(web), it.service.available(web)) == (0, 1)
        assert it.service.available(dataclasses.replace(web, replicas=0)) == 0
        await it.ask("GET /function/web")
        assert (it.service.ready(web), it.service.available(web)) == (1, 1)


async def test_one_that_may_not_go_to_zero_is_there_when_it_runs(tmp_path: Path) -> None:
    async with gateway(show, tmp_path, scale_to_zero=False) as it:
        web = it.service.find("web")
        assert it.service.available(web) == 0
        it.service.wake()
        async with asyncio.timeout(10):
            while not it.service.available(web):
                await asyncio.sleep(0.001)


async def test_where_a_request_comes_from_is_told(tmp_path: Path) -> None:
    async with gateway(show, tmp_path) as it:
        answer = await it.ask("GET /function/web/x", headers={"X-Forwarded-For": "1.2.3.4"})
    headers = answer.json["headers"]
    assert headers["host"] == "example.com"
    assert headers["x-forwarded-for"] == "1.2.3.4, 10.0.0.7"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "example.com"
    assert headers["x-forwarded-prefix"] == "/function/web"


async def test_what_is_between_two_hops_stays_there(tmp_path: Path) -> None:
    given = {"Connection": "keep-alive, X-Hop", "X-Hop": "1", "Keep-Alive": "5", "TE": "trailers",
             "Proxy": "http://evil", "Upgrade": "h2c", "X-Stays": "1"}  # fmt: skip
    async with gateway(show, tmp_path) as it:
        answer = await it.ask("GET /function/web", headers=given)
    headers = answer.json["headers"]
    assert headers["connection"] == "close"
    assert headers["x-stays"] == "1"
    assert not {"x-hop", "keep-alive", "te", "proxy", "upgrade"} & headers.keys()


async def test_the_answers_own_hop_stays_there_too(tmp_path: Path) -> None:
    async def answer(it: Exchange) -> None:
        await it.answer(
            b"x", headers=[("connection", "close, x-hop"), ("x-hop", "1"), ("set-cookie", "a=1")]
        )

    async with gateway(answer, tmp_path) as it:
        found = (await it.ask("GET /function/web")).headers
    assert found["set-cookie"] == "a=1"
    assert not {"connection", "x-hop"} & found.keys()


@pytest.mark.parametrize("status", [201, 204, 301, 304, 404, 500])
async def test_the_status_is_the_servers(status: int, tmp_path: Path) -> None:
    async def answer(it: Exchange) -> None:
        await it.send(h11.Response(status_code=status, headers=[]))
        await it.send(h11.EndOfMessage())

    async with gateway(answer, tmp_path) as it:
        assert (await it.ask("GET /function/web")).status == status


async def test_a_body_of_known_length_keeps_it(tmp_path: Path) -> None:
    async with gateway(show, tmp_path) as it:
        answer = await it.ask("POST /function/web", b"hello", headers={"Content-Length": "5"})
    assert answer.json["body"] == "hello"
    assert answer.json["headers"]["content-length"] == "5"


async def test_a_body_of_unknown_length_is_chunked(tmp_path: Path) -> None:
    async with gateway(show, tmp_path) as it:
        answer = await it.ask(
            "POST /function/web",
            headers={"Transfer-Encoding": "chunked"},
            chunks=[b"hel", b"", b"lo"],
        )
    assert answer.json["body"] == "hello"
    assert answer.json["headers"]["transfer-encoding"] == "chunked"


async def test_request_and_answer_stream_both_at_once(tmp_path: Path) -> None:
    asked: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(message: Any) -> None:
        if message.get("body"):
            said.put_nowait(message["body"])

    async with gateway(echo, tmp_path) as it:
        scope = it.ask.scope("POST /function/web", {"Transfer-Encoding": "chunked"})
        answering = asyncio.ensure_future(it.app(scope, asked.get, send))
        for number in range(5):
            asked.put_nowait({"type": "http.request", "body": b"%d" % number, "more_body": True})
            assert await said.get() == b"%d" % number
        asked.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await answering


async def test_megabytes_come_back_as_they_were(tmp_path: Path) -> None:
    chunks = [bytes([number]) * 65536 for number in range(100)]
    async with gateway(echo, tmp_path) as it:
        answer = await it.ask(
            "POST /function/web", headers={"Transfer-Encoding": "chunked"}, chunks=chunks
        )
    assert answer.body == b"".join(chunks)


async def test_events_go_out_as_they_come_and_outlive_the_timeout(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def events(it: Exchange) -> None:
        await it.begin(kind="text/event-stream; charset=utf-8")
        await it.write(b"data: 1\n\n")
        await go_on.wait()
        await it.write(b"data: 2\n\n")
        await it.send(h11.EndOfMessage())

    async with (
        gateway(events, tmp_path, timeout=0.5) as it,
        it.ask.stream("GET /function/web") as chunks,
    ):
        assert await chunks.get() == b"data: 1\n\n"
        await asyncio.sleep(0.6)
        go_on.set()
        assert await chunks.get() == b"data: 2\n\n"


async def test_a_caller_who_leaves_is_told_to_the_server(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def wait(it: Exchange) -> None:
        await it.begin()
        await it.write(b"here")
        await it.reader.read()
        left.set()

    async with gateway(wait, tmp_path) as it:
        async with it.ask.stream("GET /function/web") as chunks:
            assert await chunks.get() == b"here"
        await left.wait()


async def test_an_answer_that_is_too_late_is_a_504(tmp_path: Path) -> None:
    async def wait(it: Exchange) -> None:
        await it.reader.read()

    async with gateway(wait, tmp_path, timeout=0.05) as it:
        answer = await it.ask("GET /function/web")
    assert answer.status == 504
    assert "the function's timeout" in answer.text


async def test_a_server_that_ends_the_connection_is_a_502(tmp_path: Path) -> None:
    async def leave(it: Exchange) -> None:
        it.writer.close()

    async with gateway(leave, tmp_path) as it:
        answer = await it.ask("GET /function/web")
    assert answer.status == 502
    assert "ended its answer" in answer.text


async def test_an_answer_that_is_no_http_is_a_502(tmp_path: Path) -> None:
    async def nonsense(it: Exchange) -> None:
        it.writer.write(b"SSH-2.0-nothing here\r\n\r\n")

    async with gateway(nonsense, tmp_path) as it:
        assert (await it.ask("GET /function/web")).status == 502


async def test_an_answer_that_breaks_off_is_cut(tmp_path: Path) -> None:
    async def breaks(it: Exchange) -> None:
        headers = [("content-length", "10")]
        await it.send(h11.Response(status_code=200, headers=headers))
        it.writer.write(b"five!")
        await it.writer.drain()
        it.writer.close()

    async with gateway(breaks, tmp_path) as it:
        with pytest.raises(AnswerCut, match="before it was complete"):
            await it.ask("GET /function/web")


async def test_a_body_that_is_too_large_is_a_413(tmp_path: Path) -> None:
    async with gateway(echo_when_complete, tmp_path, max_body=10) as it:
        told = await it.ask("POST /function/web", b"x" * 20, headers={"Content-Length": "20"})
        found = await it.ask(
            "POST /function/web",
            headers={"Transfer-Encoding": "chunked"},
            chunks=[b"x" * 8, b"x" * 8],
        )
    assert (told.status, found.status) == (413, 413)


async def echo_when_complete(it: Exchange) -> None:
    await it.answer(b"".join([chunk async for chunk in it.body()]))


async def test_an_answer_before_the_end_of_the_body_is_handed_back(tmp_path: Path) -> None:
    async def refuse(it: Exchange) -> None:
        await it.answer(b"no", status=403)

    async with gateway(refuse, tmp_path) as it:
        answer = await it.ask(
            "POST /function/web",
            headers={"Transfer-Encoding": "chunked"},
            chunks=[b"x" * 65536] * 64,
        )
    assert (answer.status, answer.body) == (403, b"no")


async def test_more_requests_at_once_than_may_are_told_so(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def wait(it: Exchange) -> None:
        await go_on.wait()
        await it.answer(b"done")

    async with gateway(wait, tmp_path, concurrency=2) as it:
        asking = [asyncio.create_task(it.ask("GET /function/web")) for _ in range(2)]
        while it.service.running(it.service.find("web")) < 2:
            await asyncio.sleep(0.001)
        assert (await it.ask("GET /function/web")).status == 429
        go_on.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200, 200]


async def test_a_head_request_has_no_body(tmp_path: Path) -> None:
    async def answer(it: Exchange) -> None:
        await it.send(h11.Response(status_code=200, headers=[("content-length", "5")]))
        await it.send(h11.EndOfMessage())

    async with gateway(answer, tmp_path) as it:
        found = await it.ask("HEAD /function/web")
    assert (found.headers["content-length"], found.body) == ("5", b"")


async def test_a_server_that_cannot_come_up_is_a_502_with_its_last_words(tmp_path: Path) -> None:
    async def fails(call: Any) -> int:
        await call.stderr.write(b"no database\n")
        return 3

    async with gateway(show, tmp_path) as it:
        it.engine.programs["web"] = fails
        answer = await it.ask("GET /function/web")
    assert answer.status == 502
    assert "no database" in answer.text
