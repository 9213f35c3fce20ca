"""Deployed functions on Funker ports, in front of the memory engine."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.functions import deployed
from tests.support.funker_peers import go_call, raw_call
from tests.support.memory_gateway import MemoryGateway, memory_gateway

from wherry import funker
from wherry.errors import UsageError
from wherry.funker import protocol
from wherry.server.funker import ports_of
from wherry.triggers.funker import FunkerPort

if TYPE_CHECKING:
    from wherry.functions.model import Deployed
    from wherry.testing import Call


@asynccontextmanager
async def exposed(
    function: Deployed, *, max_bytes: int = 100_000, **options: Any
) -> AsyncIterator[tuple[int, FunkerPort, MemoryGateway]]:
    async with memory_gateway(function, **options) as gateway:
        port = FunkerPort(gateway.service, function.name, max_bytes=max_bytes)
        listener = socket.create_server(("127.0.0.1", 0))
        await port.listen(listener)
        try:
            async with asyncio.timeout(20):
                yield listener.getsockname()[1], port, gateway
        finally:
            await port.aclose(grace=0)


async def test_the_document_is_stdin_and_stdout_the_answer() -> None:
    async with exposed(deployed("cat", "cat")) as (port, _, gateway):
        assert await funker.acall(f"127.0.0.1:{port}", a=1, b="ü") == {"a": 1, "b": "ü"}
        assert gateway.call.trigger == "funker"


async def test_what_a_function_writes_that_is_no_json_is_a_text() -> None:
    async with exposed(deployed("upper", "tr", "a-z", "A-Z")) as (port, _, _gateway):
        assert await funker.acall(f"127.0.0.1:{port}", {"a": "b"}) == {"A": "B"}
    async with exposed(deployed("hello", "echo", "hello", "there")) as (port, _, _gateway):
        assert await asyncio.to_thread(go_call, port, {}) == "hello there\n"


async def test_a_function_that_writes_nothing_answers_null() -> None:
    async with exposed(deployed("true", "true")) as (port, _, _gateway):
        assert await asyncio.to_thread(raw_call, port, b"{}") == b"null"


async def test_a_function_that_fails_answers_why() -> None:
    async def program(call: Call) -> int:
        await call.stderr.write(b"no such thing")
        return 3

    function = deployed("bad", image="bad")
    async with exposed(function, programs={"bad": program}) as (port, _, _gateway):
        with pytest.raises(funker.FunkerFailed, match="exit status 3: no such thing"):
            await funker.acall(f"127.0.0.1:{port}")


async def test_a_function_that_is_not_there_answers_so() -> None:
    async with memory_gateway(deployed("cat", "cat")) as gateway:
        port = FunkerPort(gateway.service, "dog")
        listener = socket.create_server(("127.0.0.1", 0))
        await port.listen(listener)
        with pytest.raises(funker.FunkerFailed, match=r"NotFound.*dog"):
            await funker.acall(f"127.0.0.1:{listener.getsockname()[1]}")
        await port.aclose(grace=0)


async def test_calls_run_at_one_time() -> None:
    arrived, all_there = [0], asyncio.Event()

    async def program(call: Call) -> int:
        arrived[0] += 1
        if arrived[0] == 5:
            all_there.set()
        await all_there.wait()
        await call.stdout.write(b"true")
        return 0

    async with exposed(deployed("f", image="f"), programs={"f": program}) as (port, _, _gateway):
        calls = (funker.acall(f"127.0.0.1:{port}") for _ in range(5))
        assert await asyncio.gather(*calls) == [True] * 5


async def test_more_than_a_document_may_have_is_refused() -> None:
    async with exposed(deployed("cat", "cat"), max_bytes=1000) as (port, _, _gateway):
        with pytest.raises(funker.FunkerFailed, match="TooLarge"):
            await funker.acall(f"127.0.0.1:{port}", data="x" * 2000)


async def test_a_probe_of_the_port_is_no_call() -> None:
    async with exposed(deployed("cat", "cat")) as (port, _, gateway):
        assert await asyncio.to_thread(raw_call, port, b"") == b""
        assert gateway.heard.calls == []


async def test_a_stop_lets_calls_end_and_takes_no_more() -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def program(call: Call) -> int:
        running.set()
        await go_on.wait()
        await call.stdout.write(b"1")
        return 0

    async with exposed(deployed("f", image="f"), programs={"f": program}) as (number, port, _g):
        call = asyncio.create_task(funker.acall(f"127.0.0.1:{number}"))
        await running.wait()
        stopping = asyncio.create_task(port.aclose(grace=20))
        await asyncio.sleep(0)
        with pytest.raises(funker.FunkerUnreachable):
            await funker.acall(f"127.0.0.1:{number}")
        go_on.set()
        assert await call == 1
        await stopping


async def test_the_end_of_the_grace_ends_calls() -> None:
    running, hurry = asyncio.Event(), asyncio.Event()

    async def program(call: Call) -> int:
        running.set()
        await asyncio.Event().wait()
        return 0

    async with exposed(deployed("f", image="f"), programs={"f": program}) as (number, port, _g):
        call = asyncio.create_task(funker.acall(f"127.0.0.1:{number}"))
        await running.wait()
        hurry.set()
        await port.aclose(grace=600, at_once=hurry)
        with pytest.raises(funker.FunkerUnanswered):
            await call


def test_the_table_names_functions_and_addresses(tmp_path: Path) -> None:
    path = tmp_path / "wherry.toml"
    path.write_text('[funker]\nadd = "127.0.0.1:9999"\n"mul.dev" = ["[::1]:1", "unix:/x"]\n')
    assert ports_of([path, tmp_path / "stack.yaml"]) == {
        "add": ("127.0.0.1:9999",),
        "mul.dev": ("[::1]:1", "unix:/x"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [("funker = 5", "must be a table"), ("[funker]\nadd = 9999", "must be an address"),
     ("[funker]\nadd = []", "must be an address"), ('[funker]\n"a b" = ":1"', "funker.a b")],
)  # fmt: skip
def test_a_table_that_cannot_be_right_names_the_field(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wherry.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        ports_of([path])


def test_an_envelope_is_json_for_whoever_does_not_know_it() -> None:
    said = json.loads(protocol.failure("X", "ü"))
    assert said == {"$funker-error": {"type": "X", "message": "ü"}}
