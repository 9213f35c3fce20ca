"""CGI programs behind a gateway, in the memory engine: the cases of a mature host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.asgi import App, Asgi
from tests.support.functions import Registry, deployed

from wherry.client import AsyncClient
from wherry.service.service import FunctionService
from wherry.testing import Call, MemoryEngine, Program
from wherry.triggers.cgi.environment import CgiOptions
from wherry.triggers.cgi.handler import Cgi, Inside, root_of
from wherry.triggers.http.invoke import Invoke
from wherry.triggers.http.parts import GatewayOptions, Parts
from wherry.web.duplex import AnswerCut

if TYPE_CHECKING:
    from wherry.models import Output
    from wherry.service.call import Call as ServedCall

HELLO = b"Content-Type: text/plain\n\n"


class Watched:
    """Remembers every call."""

    def __init__(self) -> None:
        self.calls: list[ServedCall] = []

    def began(self, call: ServedCall) -> None:
        self.calls.append(call)

    def started(self, call: ServedCall) -> None: ...
    def wrote(self, call: ServedCall, output: Output) -> None: ...
    def ended(self, call: ServedCall) -> None: ...


class Gateway:
    """A gateway in front of CGI programs, and a client of it."""

    def __init__(self, app: App, engine: MemoryEngine, watched: Watched) -> None:
        self.ask = Asgi(app)
        self.app = app
        self.engine = engine
        self.calls = watched.calls


@asynccontextmanager
async def gateway(
    programs: dict[str, Program],
    *,
    cgi: CgiOptions | None = None,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    engine = MemoryEngine(programs)
    functions = Registry(
        *(deployed(name, image=name, **{"mode": "cgi", **settings}) for name in programs)
    )
    watched = Watched()
    async with AsyncClient(engine) as client, asyncio.timeout(20):
        service = FunctionService(client, functions, observers=[watched])
        store: Any = functions
        parts = Parts(service=service, functions=store, options=GatewayOptions())
        modes: dict[Any, Any] = {}
        invoke = Invoke(parts, modes=modes)
        inside: Inside = lambda path: invoke if path.startswith("/function/") else None  # noqa: E731
        modes["cgi"] = Cgi(parts, options=cgi, inside=inside)
        invoke._modes = modes
        try:
            yield Gateway(invoke, engine, watched)
        finally:
            await service.aclose()
            assert engine.running == {}


def program(work: Callable[[Call], Any]) -> Program:
    return work


async def show(call: Call) -> None:
    """Answer with the environment and the body."""
    body = b"".join([chunk async for chunk in call.stdin])
    lines = [f"{name}={value}" for name, value in sorted(call.env.items())]
    await call.stdout.write(HELLO + "\n".join(lines).encode() + b"\n--\n" + body)


def says(data: bytes, *, code: int = 0) -> Program:
    async def program(call: Call) -> int:
        await call.stdout.write(data)
        return code

    return program


def environment(body: bytes) -> dict[str, str]:
    lines = body.partition(b"\n--\n")[0].decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


async def test_a_basic_get_is_answered_with_what_the_program_says() -> None:
    async with gateway({"show": show}) as it:
        answer = await it.ask("GET /function/show/extra/path?a=b", headers={"X-Call-Id": "me"})
    found = environment(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-call-id"] == "me"
    assert found["SCRIPT_NAME"] == "/function/show"
    assert found["PATH_INFO"] == "/extra/path"
    assert found["REQUEST_URI"] == "/function/show/extra/path?a=b"
    assert "CONTENT_LENGTH" not in found
    assert it.calls[0].trigger == "cgi"
    assert it.calls[0].status == 200


@pytest.mark.parametrize(
    ("path", "info"), [("/function/show", ""), ("/function/show/", "/"), ("/function/show/a", "/a")]
)
async def test_the_root_is_one_with_and_without_its_slash(path: str, info: str) -> None:
    async with gateway({"show": show}) as it:
        found = environment((await it.ask(f"GET {path}")).body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/function/show", info)


async def test_a_posted_form_is_stdin_with_its_length() -> None:
    headers = {"Content-Length": "7", "Content-Type": "application/x-www-form-urlencoded"}
    async with gateway({"show": show}) as it:
        answer = await it.ask("POST /function/show", b"a=1&b=2", headers=headers)
    found = environment(answer.body)
    assert found["REQUEST_METHOD"] == "POST"
    assert found["CONTENT_LENGTH"] == "7"
    assert found["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
    assert answer.body.endswith(b"--\na=1&b=2")


@pytest.mark.parametrize("size", [5, 3_000_000])
async def test_a_chunked_body_is_stored_so_that_its_length_is_right(size: int) -> None:
    chunks = [b"x" * 1000] * (size // 1000) + [b"y" * (size % 1000)]
    async with gateway({"show": show}) as it:
        answer = await it.ask(
            "POST /function/show", headers={"Transfer-Encoding": "chunked"}, chunks=chunks
        )
    assert environment(answer.body)["CONTENT_LENGTH"] == str(size)
    assert answer.body.partition(b"--\n")[2] == b"".join(chunks)


async def test_an_empty_chunked_body_is_none() -> None:
    async with gateway({"show": show}) as it:
        answer = await it.ask(
            "POST /function/show", headers={"Transfer-Encoding": "chunked"}, chunks=[b""]
        )
    assert "CONTENT_LENGTH" not in environment(answer.body)


async def test_a_chunked_body_is_stored_up_to_a_bound() -> None:
    async with gateway({"show": show}, cgi=CgiOptions(max_body=2000)) as it:
        answer = await it.ask(
            "POST /function/show",
            headers={"Transfer-Encoding": "chunked"},
            chunks=[b"x" * 1000] * 3,
        )
    assert answer.status == 413
    assert it.calls == []


async def test_what_is_configured_wins_over_what_is_inherited_and_that_over_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONE", "inherited")
    monkeypatch.setenv("TWO", "inherited")
    monkeypatch.setenv("HTTP_X_A", "inherited")
    monkeypatch.setenv("SECRET", "not asked for")
    options = CgiOptions(
        inherit=("ONE", "TWO", "HTTP_X_A", "UNSET"), env={"TWO": "route", "THREE": "route"}
    )
    async with gateway({"show": show}, cgi=options, env={"THREE": "function"}) as it:
        answer = await it.ask("GET /function/show", headers={"X-A": "request"})
    found = environment(answer.body)
    assert found["ONE"] == "inherited"
    assert found["TWO"] == "route"
    assert found["THREE"] == "function"
    assert found["HTTP_X_A"] == "inherited"
    assert "SECRET" not in found
    assert "UNSET" not in found


async def test_the_program_chooses_the_status_and_headers() -> None:
    data = b"Status: 418 I'm a teapot\r\nContent-Type: x/y\r\nSet-Cookie: a=1\r\n\r\nshort"
    async with gateway({"tea": says(data)}) as it:
        answer = await it.ask("GET /function/tea")
    assert (answer.status, answer.body) == (418, b"short")
    assert answer.headers["set-cookie"] == "a=1"
    assert it.calls[0].status == 418


async def test_an_external_redirect_is_sent_to_the_client() -> None:
    async with gateway({"go": says(b"Location: http://example.com/\n\n")}) as it:
        answer = await it.ask("GET /function/go")
    assert answer.status == 302
    assert answer.headers["location"] == "http://example.com/"


async def test_an_internal_redirect_is_answered_by_the_other_program() -> None:
    programs = {"go": says(b"Location: /function/show/a%20b?q=1\n\nignored"), "show": show}
    async with gateway(programs) as it:
        answer = await it.ask(
            "POST /function/go", b"body", headers={"Content-Length": "4", "Content-Type": "x/y"}
        )
    found = environment(answer.body)
    assert answer.status == 200
    assert found["REQUEST_METHOD"] == "GET"
    assert found["PATH_INFO"] == "/a b"
    assert found["QUERY_STRING"] == "q=1"
    assert "CONTENT_LENGTH" not in found
    assert "CONTENT_TYPE" not in found
    assert [call.deployed.name for call in it.calls] == ["go", "show"]


async def test_redirects_that_go_in_circles_end() -> None:
    async with gateway({"round": says(b"Location: /function/round\n\n")}) as it:
        answer = await it.ask("GET /function/round")
    assert answer.status == 502
    assert "more than 10 redirects" in answer.text
    assert len(it.calls) == 11


@pytest.mark.parametrize("path", ["/system/functions", "/function", "/"])
async def test_a_redirect_to_what_is_no_function_is_left_to_the_client(path: str) -> None:
    async with gateway({"go": says(f"Location: {path}\n\n".encode())}) as it:
        answer = await it.ask("GET /function/go")
    assert (answer.status, answer.headers["location"]) == (302, path)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", 0, "wrote no header lines"),
        (b"hello\n\n", 0, "'hello' is no header line"),
        (b"X-A: 1\n\n", 0, "neither Status nor Content-Type nor Location"),
        (b"Content-Type: a/b\n", 0, "no empty line"),
        (b"Content-Type: a/b\nStatus: ok\n\n", 0, "Status: 'ok'"),
        (b"X: " + b"x" * 40_000, 0, "more than 32 KiB"),
        (b"", 3, "returned non-zero exit status 3"),
    ],
)
async def test_what_is_no_cgi_answer_is_a_502_that_says_why(
    data: bytes, code: int, words: str
) -> None:
    async with gateway({"bad": says(data, code=code)}) as it:
        answer = await it.ask("GET /function/bad")
    assert answer.status == 502
    assert words in answer.text
    assert "'bad' is no CGI program" in answer.text
    assert "x-call-id" in answer.headers
    assert it.calls[0].status == 502


async def test_stderr_goes_to_the_calls_record_and_not_to_the_client() -> None:
    async def complains(call: Call) -> None:
        await call.stderr.write(b"a warning\n")
        await call.stdout.write(HELLO + b"fine")

    async with gateway({"c": complains}) as it:
        answer = await it.ask("GET /function/c")
    assert answer.body == b"fine"
    assert bytes(it.calls[0].stderr_tail) == b"a warning\n"


async def test_the_answer_goes_out_as_it_is_written() -> None:
    go_on = asyncio.Event()

    async def slow(call: Call) -> None:
        await call.stdout.write(HELLO + b"one\n")
        await go_on.wait()
        await call.stdout.write(b"two\n")

    async with gateway({"slow": slow}) as it, it.ask.stream("GET /function/slow") as chunks:
        assert await chunks.get() == b"one\n"
        go_on.set()
        assert await chunks.get() == b"two\n"


async def test_a_client_that_leaves_kills_the_program() -> None:
    killed = asyncio.Event()

    async def endless(call: Call) -> None:
        try:
            while True:
                await call.stdout.write(HELLO)
                await asyncio.sleep(0)
        finally:
            killed.set()

    async with gateway({"endless": endless}) as it:
        async with it.ask.stream("GET /function/endless") as chunks:
            await chunks.get()
        assert killed.is_set()
        assert it.engine.running == {}


async def test_an_answer_that_cannot_be_sent_kills_the_program() -> None:
    """Copying fails: the connection is gone, and the server says so when it is written to."""

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    async def receive() -> Any:
        await asyncio.Event().wait()

    async with gateway({"yes": says(HELLO + b"y" * 100_000)}) as it:
        with pytest.raises(AnswerCut, match="connection lost"):
            await it.app(it.ask.scope("GET /function/yes", ()), receive, send)


async def test_a_timeout_before_the_head_is_a_504_that_says_whose_it_was() -> None:
    async def sleeps(call: Call) -> None:
        await asyncio.sleep(60)

    async with gateway({"sleeps": sleeps}, timeout=0.02) as it:
        answer = await it.ask("GET /function/sleeps")
    assert answer.status == 504
    assert "the function's timeout" in answer.text


async def test_a_timeout_after_the_head_cuts_the_answer() -> None:
    async def sleeps(call: Call) -> None:
        await call.stdout.write(HELLO)
        await asyncio.sleep(60)

    async with gateway({"sleeps": sleeps}, timeout=0.02) as it:
        with pytest.raises(AnswerCut, match="timeout"):
            await it.ask("GET /function/sleeps")


async def test_an_exit_code_does_not_spoil_an_answer_that_is_complete() -> None:
    async with gateway({"grumpy": says(HELLO + b"all of it", code=1)}) as it:
        answer = await it.ask("GET /function/grumpy")
    assert (answer.status, answer.body) == (200, b"all of it")


async def test_an_answer_shorter_than_its_content_length_is_cut() -> None:
    data = b"Content-Type: a/b\nContent-Length: 10\n\nshort"
    async with gateway({"short": says(data)}) as it:
        with pytest.raises(AnswerCut, match="5 bytes before its Content-Length"):
            await it.ask("GET /function/short")


async def test_what_follows_the_content_length_is_not_sent() -> None:
    data = b"Content-Type: a/b\nContent-Length: 5\n\nright and more"
    async with gateway({"long": says(data)}) as it:
        answer = await it.ask("GET /function/long")
    assert answer.body == b"right"


@pytest.mark.parametrize(
    ("method", "head"), [("HEAD", b"Content-Type: a/b\n"), ("GET", b"Status: 204 No Content\n")]
)
async def test_answers_that_have_no_body_have_none(method: str, head: bytes) -> None:
    async with gateway({"quiet": says(head + b"\nbody")}) as it:
        answer = await it.ask(f"{method} /function/quiet")
    assert answer.status in (200, 204)
    assert answer.body == b""


async def test_a_path_that_cannot_be_handed_on_is_a_400() -> None:
    async with gateway({"show": show}) as it:
        answer = await it.ask("GET /function/show/a%00b")
    assert answer.status == 400


async def test_a_program_that_cannot_be_started_is_a_502() -> None:
    async with gateway({"show": show}) as it:
        del it.engine.programs["show"]
        answer = await it.ask("GET /function/show")
    assert answer.status == 502


def test_the_root_of_a_path_is_what_comes_before_the_functions_own() -> None:
    assert root_of("/function/f/a", "/a") == "/function/f"
    assert root_of("/function/f", "/") == "/function/f"
    assert root_of("/function/f/", "/") == "/function/f"
