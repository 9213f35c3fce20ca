"""Containers in other frameworks' applications, in the memory engine."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.support.asgi import Asgi

import wherry
from wherry.errors import UsageError
from wherry.models import Function, Limits
from wherry.testing import Call, MemoryEngine
from wherry.web.duplex import AnswerCut

HELLO = b"Content-Type: text/plain\n\n"


async def show(call: Call) -> None:
    """Answer with the environment and the body, as a CGI program."""
    body = b"".join([chunk async for chunk in call.stdin])
    lines = [f"{name}={value}" for name, value in sorted(call.env.items())]
    await call.stdout.write(HELLO + "\n".join(lines).encode() + b"\n--\n" + body)


def tr(**fields: Any) -> Function:
    return Function(name="upper", image="busybox", command=("tr", "a-z", "A-Z"), **fields)


def sh(script: str, **fields: Any) -> Function:
    return Function(name="sh", image="busybox", command=("sh", "-c", script), **fields)


def length(body: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(body))}


# ---- ASGI ------------------------------------------------------------------------------------


async def test_a_request_is_a_call() -> None:
    async with wherry.AsyncClient(MemoryEngine()) as client:
        app = wherry.asgi(tr(), client=client)
        answer = await Asgi(app)("POST /", b"hello", headers=length(b"hello"))
    assert (answer.status, answer.body) == (200, b"HELLO")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "x-call-id" in answer.headers


async def test_what_a_client_makes_can_be_mounted_as_it_is() -> None:
    async with wherry.AsyncClient(MemoryEngine()) as client:
        app = wherry.asgi(client.function("busybox", ["tr", "a-z", "A-Z"]))
        answer = await Asgi(app)("POST /", b"hello", headers=length(b"hello"))
    assert answer.body == b"HELLO"


async def test_a_mount_of_starlette_knows_its_own_path() -> None:
    engine = MemoryEngine({"show": show})
    async with wherry.AsyncClient(engine) as client:
        cgi = wherry.asgi(Function(name="show", image="show"), client=client, cgi=True)
        app = Starlette(routes=[Mount("/tools/show", app=cgi)])
        answer = await Asgi(app)("GET /tools/show/a/b?c=d")
    lines = answer.text.splitlines()
    assert "SCRIPT_NAME=/tools/show" in lines
    assert "PATH_INFO=/a/b" in lines
    assert "QUERY_STRING=c=d" in lines


async def test_a_server_that_leaves_out_the_mounts_path_is_understood() -> None:
    async with wherry.AsyncClient(MemoryEngine({"show": show})) as client:
        app = wherry.asgi(Function(name="show", image="show"), client=client, cgi=True)
        scope = {**Asgi(app).scope("GET /a", ()), "root_path": "/tools"}
        said: list[Any] = []
        await app(scope, asyncio.Event().wait, _appending(said))  # type: ignore[arg-type]
    assert b"SCRIPT_NAME=/tools\n" in said[1]["body"]


def _appending(said: list[Any]) -> Callable[[Any], Any]:
    async def send(message: Any) -> None:
        said.append(message)

    return send


@pytest.mark.parametrize(("script", "status"), [("exit 3", 500), ("echo fine", 200)])
async def test_the_statuses_are_the_gateways(script: str, status: int) -> None:
    async with wherry.AsyncClient(MemoryEngine()) as client:
        answer = await Asgi(wherry.asgi(sh(script), client=client))("GET /")
    assert answer.status == status


async def test_a_timeout_is_a_504_that_says_whose_it_was() -> None:
    function = sh("sleep 60", limits=Limits(timeout=0.02))
    async with wherry.AsyncClient(MemoryEngine()) as client:
        answer = await Asgi(wherry.asgi(function, client=client))("GET /")
    assert answer.status == 504
    assert "0.02 s, the function's timeout" in answer.text


async def test_a_body_that_is_too_large_is_a_413() -> None:
    async with wherry.AsyncClient(MemoryEngine()) as client:
        app = wherry.asgi(tr(), client=client, max_body=3)
        answer = await Asgi(app)("POST /", b"hello", headers=length(b"hello"))
    assert answer.status == 413


async def test_a_cgi_program_has_the_routes_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "here")
    async with wherry.AsyncClient(MemoryEngine({"show": show})) as client:
        app = wherry.asgi(
            Function(name="show", image="show"), client=client, cgi=True,
            env={"MODE": "test"}, inherit=["DATABASE"],
        )  # fmt: skip
        lines = (await Asgi(app)("GET /")).text.splitlines()
    assert {"MODE=test", "DATABASE=here"} <= set(lines)


async def test_nothing_is_kept_ready_unless_the_function_says_so() -> None:
    engine = MemoryEngine()
    async with wherry.AsyncClient(engine) as client:
        ask = Asgi(wherry.asgi(tr(), client=client))
        for _ in range(3):
            await ask("POST /", b"x", headers=length(b"x"))
        assert engine.running == {}
        assert len(engine.prepared) == 3


async def test_a_client_that_leaves_ends_the_call() -> None:
    engine = MemoryEngine()
    async with wherry.AsyncClient(engine) as client:
        app = wherry.asgi(sh("yes"), client=client, stream=True)
        async with Asgi(app).stream("GET /") as chunks:
            await chunks.get()
        assert engine.running == {}


async def test_a_client_of_its_own_ends_with_the_lifespan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHERRY_ENGINE", "memory")
    app = wherry.asgi(tr())
    said: list[Any] = []
    told: asyncio.Queue[Any] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, told.get, _appending(said)))
    told.put_nowait({"type": "lifespan.startup"})
    answer = await Asgi(app)("POST /", b"a", headers=length(b"a"))
    assert answer.body == b"A"
    told.put_nowait({"type": "lifespan.shutdown"})
    await life
    assert [message["type"] for message in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    async with app:
        assert (await Asgi(app)("POST /", b"b", headers=length(b"b"))).body == b"B"


async def test_a_websocket_is_refused() -> None:
    said: list[Any] = []
    async with wherry.AsyncClient(MemoryEngine()) as client:
        app = wherry.asgi(tr(), client=client)
        scope = Asgi(app).scope("GET /", (), kind="websocket")
        await app(scope, asyncio.Event().wait, _appending(said))  # type: ignore[arg-type]
    assert said[0]["type"] == "websocket.close"


@pytest.mark.parametrize("mount", [wherry.asgi, wherry.wsgi])
def test_what_is_no_function_is_told(mount: Any) -> None:
    with pytest.raises(UsageError, match=r"wherry\.(asgi|wsgi)"):
        mount("busybox")


# ---- WSGI ------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[wherry.Client]:
    with wherry.Client(MemoryEngine({"show": show})) as made:
        yield made


class Reply:
    """What a WSGI server gets."""

    status = ""
    headers: dict[str, str]

    def __init__(self, app: Any, **environ: Any) -> None:
        environ.setdefault("QUERY_STRING", "")
        setup_testing_defaults(environ)
        self._answer: Any = validator(app)(environ, self._start)
        self._chunks = iter(self._answer)

    def _start(self, status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)

    def next(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._answer.close()

    def read(self) -> bytes:
        try:
            return b"".join(self._chunks)
        finally:
            self.close()


def posted(body: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body + b"the next request"),
    }


def test_a_wsgi_request_is_a_call(client: wherry.Client) -> None:
    reply = Reply(wherry.wsgi(tr(), client=client), **posted(b"hello"))
    assert reply.read() == b"HELLO"
    assert reply.status == "200 OK"


def test_megabytes_go_through_wsgi(client: wherry.Client) -> None:
    body = os.urandom(4 << 20)
    cat = client.function("busybox", ["cat"])
    assert Reply(wherry.wsgi(cat), **posted(body)).read() == body


def test_a_wsgi_request_without_a_length_has_no_body(client: wherry.Client) -> None:
    environ = {**posted(b"x"), "CONTENT_LENGTH": ""}
    assert Reply(wherry.wsgi(tr(), client=client), **environ).read() == b""


def test_a_failed_call_is_a_500_of_wsgi(client: wherry.Client) -> None:
    reply = Reply(wherry.wsgi(sh("exit 3"), client=client))
    reply.read()
    assert reply.status == "500 Internal Server Error"
    assert reply.headers["x-exit-code"] == "3"


def test_a_wsgi_body_that_is_too_large_is_a_413(client: wherry.Client) -> None:
    reply = Reply(wherry.wsgi(tr(), client=client, max_body=1), **posted(b"hello"))
    reply.read()
    assert reply.status.startswith("413 ")


def test_a_cgi_program_under_wsgi_knows_its_path(client: wherry.Client) -> None:
    app = wherry.wsgi(Function(name="show", image="show"), client=client, cgi=True)
    reply = Reply(
        app, SCRIPT_NAME="/tools", PATH_INFO="/ä".encode().decode("latin-1"),
        QUERY_STRING="a=b", HTTP_X_ONE="1", REMOTE_ADDR="::1", HTTP_HOST="example.com:81",
    )  # fmt: skip
    lines = reply.read().decode().splitlines()
    assert {
        "SCRIPT_NAME=/tools", "PATH_INFO=/ä", "REQUEST_URI=/tools/%C3%A4?a=b", "QUERY_STRING=a=b",
        "HTTP_X_ONE=1", "REMOTE_ADDR=::1", "SERVER_NAME=example.com", "SERVER_PORT=81",
    } <= set(lines)  # fmt: skip


def test_a_wsgi_client_that_leaves_ends_the_call() -> None:
    engine = MemoryEngine()
    with wherry.Client(engine) as client:
        reply = Reply(wherry.wsgi(sh("yes"), client=client, stream=True))
        assert reply.next().startswith(b"y\n")
        assert engine.running
        reply.close()
        assert not engine.running


def test_an_answer_that_breaks_off_under_wsgi_raises(client: wherry.Client) -> None:
    reply = Reply(wherry.wsgi(sh("echo a; exit 3"), client=client, stream=True))
    with pytest.raises(AnswerCut):
        reply.read()


@contextmanager
def served(app: Any) -> Iterator[str]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_real_wsgi_server_serves_it(client: wherry.Client) -> None:
    import urllib.request

    with served(wherry.wsgi(tr(), client=client)) as url:
        for word in (b"one", b"two"):
            with urllib.request.urlopen(url, data=word, timeout=20) as answer:
                assert answer.read() == word.upper()
