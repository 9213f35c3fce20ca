"""Calls of functions over HTTP: what the program is told, and what its caller is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.exchanging import exchanging
from tests.support.functions import deployed
from tests.support.memory_gateway import memory_gateway

from wherry.errors import EngineError, NotFound, ProgramNotFound, Unsupported, UsageError
from wherry.models import Ready
from wherry.service.admission import Capacity
from wherry.service.outcome import status_of_error
from wherry.testing import MemoryEngine
from wherry.triggers.http.environment import http_environment
from wherry.triggers.http.heads import is_text

if TYPE_CHECKING:
    from wherry.engines.base import Stdin
    from wherry.engines.memory.container import MemoryContainer
    from wherry.models import Invocation
    from wherry.testing import Call, Program

UPPER = deployed("upper", "tr", "a-z", "A-Z")
ENV = deployed("env", "env")


def script(text: str, **fields: Any) -> Any:
    return deployed("script", "sh", "-c", text, **fields)


async def test_the_answer_is_what_the_program_writes() -> None:
    async with memory_gateway(UPPER) as it:
        answer = await it.ask("POST /function/upper", b"hello")
    assert answer.status == 200
    assert answer.body == b"HELLO"
    assert answer.headers["content-length"] == "5"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-call-id"])
    assert re.fullmatch(r"[0-9]{19}", answer.headers["x-start-time"])
    assert float(answer.headers["x-duration-seconds"]) >= 0
    assert (it.call.stdin_bytes, it.call.stdout_bytes) == (5, 5)
    assert it.call.status == 200
    assert it.heard.heard == ["began", "started", "stdout", "ended"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_any_method_calls(method: str) -> None:
    async with memory_gateway(ENV) as it:
        answer = await it.ask(f"{method} /function/env")
    assert f"Http_Method={method}\n" in answer.text


async def test_the_program_is_told_of_the_request() -> None:
    async with memory_gateway(ENV) as it:
        answer = await it.ask(
            "POST /function/env/a%20b/c?x=1&y=%20",
            b"four",
            headers=[
                ("X-Forwarded-For", "10.0.0.1"),
                ("X-Two", "first"),
                ("X-Two", "second"),
                ("Proxy", "http://evil/"),
                ("Method", "a header cannot say what is ours to say"),
            ],
        )
    found = dict(line.split("=", 1) for line in answer.text.splitlines())
    assert found["Http_Path"] == "/a b/c"
    assert found["Http_Query"] == "x=1&y=%20"
    assert found["Http_Method"] == "POST"
    assert found["Http_Host"] == "127.0.0.1:8080"
    assert found["Http_Content_Length"] == "4"
    assert found["Http_X_Forwarded_For"] == "10.0.0.1"
    assert found["Http_X_Two"] == "first"
    assert "Http_Proxy" not in found


async def test_without_a_query_or_a_path_there_is_none() -> None:
    async with memory_gateway(ENV) as it:
        answer = await it.ask("GET /function/env.openfaas-fn")
    assert "Http_Path=/\n" in answer.text
    assert "Http_Query" not in answer.text


def test_header_values_with_nul_or_newlines_are_refused() -> None:
    scope = {"method": "GET", "headers": [(b"x-odd", b"a\0b")]}
    with pytest.raises(ValueError, match="Http_X_Odd: a value with NUL or a newline"):
        http_environment(scope, path="/")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/function/nope", 404), ("/function/nope/rest", 404), ("/function/", 400),
     ("/function/..", 400), ("/function/upper.elsewhere", 404), ("/function/a%00b", 400)],
)  # fmt: skip
async def test_what_is_no_function_is_told_so(path: str, status: int) -> None:
    async with memory_gateway(UPPER) as it:
        answer = await it.ask(f"GET {path}")
    assert answer.status == status
    assert answer.text.count("\n") == 1


async def test_a_failure_is_a_500_with_what_was_written_and_the_exit_code() -> None:
    async with memory_gateway(script("echo so far; echo why >&2; exit 3")) as it:
        answer = await it.ask("GET /function/script")
    assert answer.status == 500
    assert answer.body == b"so far\n"
    assert answer.headers["x-exit-code"] == "3"
    assert "x-exit-reason" not in answer.headers
    assert bytes(it.call.stderr_tail) == b"why\n"


async def test_the_tail_of_stderr_comes_when_it_is_asked_for() -> None:
    async with memory_gateway(script("echo so far; echo why >&2; exit 3")) as it:
        answer = await it.ask("GET /function/script", headers={"X-Stderr": "1"})
    assert answer.body == b"so far\nwhy\n"


async def test_death_by_the_memory_limit_is_told_from_others() -> None:
    async def greedy(call: Call) -> None:
        raise MemoryError

    function = deployed("greedy", image="greedy")
    async with memory_gateway(function, programs={"greedy": greedy}) as it:
        answer = await it.ask("GET /function/greedy")
    assert answer.status == 500
    assert answer.headers["x-exit-reason"] == "oom"
    assert answer.headers["x-exit-code"] == "137"


@pytest.mark.parametrize(
    ("asked", "own", "server", "said"),
    [
        ("20ms", 5.0, 60.0, "0.02 s, the X-Timeout header"),
        ("1m", 0.02, 60.0, "0.02 s, the function's timeout"),
        (None, 5.0, 0.02, "0.02 s, the server's maximum"),
        ("0.02", None, 60.0, "0.02 s, the X-Timeout header"),
    ],
)
async def test_a_timeout_says_which_deadline_it_was_and_who_set_it(
    asked: str | None, own: float | None, server: float, said: str
) -> None:
    function = deployed("sleep", "sleep", "1000", timeout=own)
    headers = {"X-Timeout": asked} if asked else {}
    async with memory_gateway(function, max_timeout=server) as it:
        answer = await it.ask("GET /function/sleep", headers=headers)
    assert answer.status == 504
    assert answer.text == f"function 'sleep' did not end within {said}\n"
    assert answer.headers["x-exit-reason"] == "timeout"


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1e3s", "5 parsecs"])
async def test_a_timeout_that_cannot_be_read_is_a_400(text: str) -> None:
    async with memory_gateway(UPPER) as it:
        answer = await it.ask("GET /function/upper", headers={"X-Timeout": text})
        assert it.heard.calls == []
    assert answer.status == 400
    assert "X-Timeout" in answer.text


async def test_the_callers_id_is_kept_from_edge_to_container() -> None:
    async with memory_gateway(ENV) as it:
        answer = await it.ask("GET /function/env", headers={"X-Call-Id": "order-66.a:b"})
    assert answer.headers["x-call-id"] == "order-66.a:b"
    assert it.call.id == "order-66.a:b"
    assert "Http_X_Call_Id=order-66.a:b" in answer.text


@pytest.mark.parametrize("text", ["", "a b", "-x", "x" * 129, "a/b", "é"])
async def test_an_id_that_could_be_no_name_is_refused(text: str) -> None:
    async with memory_gateway(ENV) as it:
        answer = await it.ask("GET /function/env", headers={"X-Call-Id": text})
        assert it.heard.calls == []
    assert answer.status == 400


async def test_two_calls_with_one_id_do_not_disturb_each_other() -> None:
    function = deployed("cat", "cat", stream=True)
    same = {"X-Call-Id": "same"}
    async with (
        memory_gateway(function) as it,
        exchanging(it.app, "POST /function/cat", same) as first,
    ):
        first.send(b"1")
        await first.until(1)
        answer = await it.ask("POST /function/cat", b"2", headers=same)
        first.send(b"", more=False)
        await first.end()
        ids = [call.id for call in it.heard.calls]
    assert (answer.status, answer.body, first.complete) == (200, b"2", True)
    assert answer.headers["x-call-id"] == "same"
    assert ids[0] == "same"
    assert ids[1].startswith("same.")


def fails_with(error: Exception) -> Program:
    async def program(call: Call) -> None:
        raise error

    return program


async def test_an_unknown_image_is_a_502_that_names_it() -> None:
    async with memory_gateway(deployed("x", image="nowhere")) as it:
        answer = await it.ask("GET /function/x")
    assert answer.status == 502
    assert "nowhere" in answer.text
    assert answer.headers["x-call-id"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(UsageError("secrets.key: '/var/lib/wherry/state/secrets/key' is no file"),
      "the server's log says why"),
     (NotFound("there is no image"), "there is no image"),
     (Unsupported("limits.memory: no cgroup can be made"), "limits.memory: no cgroup can be made")],
)  # fmt: skip
async def test_what_cannot_run_as_it_is_deployed_is_a_502_that_shows_no_paths(
    error: UsageError, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with memory_gateway(UPPER, engine=Refusing(error)) as it:
        answer = await it.ask("POST /function/upper", b"x")
    line = f"function 'upper' cannot run as it is deployed: {said}\n"
    assert (answer.status, answer.text) == (502, line)
    assert it.call.status == 502
    assert [record.__dict__["error"] for record in caplog.records] == [str(error)]


class Refusing(MemoryEngine):
    """Starts nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[MemoryContainer]:
        raise self._error
        yield


async def test_a_program_that_is_not_there_is_a_502() -> None:
    programs = {"empty": fails_with(ProgramNotFound("no program 'x'"))}
    async with memory_gateway(deployed("x", image="empty"), programs=programs) as it:
        answer = await it.ask("GET /function/x")
    assert (answer.status, answer.text) == (502, "no program 'x'\n")


async def test_an_engine_that_fails_is_a_502() -> None:
    sleep = deployed("sleep", "sleep", "1000")
    async with memory_gateway(sleep) as it, exchanging(it.app, "GET /function/sleep") as client:
        client.send(b"", more=False)
        async with asyncio.timeout(10):
            while "started" not in it.heard.heard:
                await asyncio.sleep(0)
        it.engine.fail("the river is frozen")
        await client.end()
    assert client.status == 502
    assert b"frozen" in client.received
    assert isinstance(it.call.error, EngineError)


async def test_more_calls_than_a_function_takes_are_a_429_at_once() -> None:
    one = deployed("cat", "cat", stream=True, concurrency=1)
    async with memory_gateway(one) as it, exchanging(it.app, "POST /function/cat") as first:
        first.send(b"1")
        await first.until(1)
        answer = await it.ask("POST /function/cat", b"2")
        first.send(b"", more=False)
        await first.end()
        again = await it.ask("POST /function/cat", b"3")
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert "wherry.concurrency" in answer.text
    assert (again.status, again.body) == (200, b"3")


async def test_a_call_that_may_wait_gets_its_place_when_another_ends() -> None:
    one = deployed("cat", "cat", stream=True, concurrency=1, queue_wait=30.0)
    async with memory_gateway(one) as it, exchanging(it.app, "POST /function/cat") as first:
        first.send(b"1")
        await first.until(1)
        second = asyncio.ensure_future(it.ask("POST /function/cat", b"2"))
        async with asyncio.timeout(10):
            while not it.service.waiting(one):
                await asyncio.sleep(0)
        first.send(b"", more=False)
        assert (await second).body == b"2"


async def test_a_full_server_is_a_503_with_retry_after() -> None:
    capacity = Capacity(max_running=1, queue_wait=0.01)
    cat = deployed("cat", "cat", stream=True)
    async with (
        memory_gateway(cat, UPPER, capacity=capacity) as it,
        exchanging(it.app, "POST /function/cat") as first,
    ):
        first.send(b"1")
        await first.until(1)
        answer = await it.ask("POST /function/upper", b"2")
        first.send(b"", more=False)
        await first.end()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "1 calls at one time" in answer.text


async def test_a_function_says_its_own_content_type() -> None:
    from dataclasses import replace

    document = replace_env(UPPER.deployment, {"content_type": "image/svg+xml"})
    async with memory_gateway(replace(UPPER, deployment=document)) as it:
        answer = await it.ask("POST /function/upper", b"<svg/>")
    assert answer.headers["content-type"] == "image/svg+xml"


def replace_env(deployment: Any, env: dict[str, str]) -> Any:
    import msgspec

    return msgspec.structs.replace(deployment, env_vars=env)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", True), ("grüße".encode(), True), ("grüße".encode()[:3], True), (b"\xff", False),
     (b"\0", False), (b"a\xff b", False)],
)  # fmt: skip
def test_text_is_told_from_other_bytes(data: bytes, text: bool) -> None:
    assert is_text(data) is text


async def test_a_call_without_a_body_has_no_stdin_to_wait_for() -> None:
    async with memory_gateway(UPPER) as it:
        answer = await it.ask("GET /function/upper")
    assert (answer.status, answer.body) == (200, b"")
    assert it.call.stdin_bytes == 0


def test_a_call_whose_end_nobody_foresaw_is_a_500() -> None:
    assert status_of_error(ZeroDivisionError()) == 500


async def test_ready_is_nothing_that_the_memory_engine_has() -> None:
    function = deployed("upper", "tr", "a-z", "A-Z", ready=Ready(min=2))
    async with memory_gateway(function) as it:
        answer = await it.ask("POST /function/upper", b"a")
        assert it.service.ready(function) == 0
    assert answer.body == b"A"
