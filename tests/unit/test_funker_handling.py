"""Being a Funker function, called as Node's and Go's packages call."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.funker_peers import go_call, node_call, raw_call

from wherry import funker
from wherry.errors import EngineError, TooLarge, UsageError


class Handled:
    """A function that waits for its call."""

    def __init__(self, port: int, task: asyncio.Task[None]) -> None:
        self.port = port
        self.task = task

    async def raw(self, data: bytes) -> bytes:
        return await asyncio.to_thread(raw_call, self.port, data)


@asynccontextmanager
async def handled(function: Any, **options: Any) -> AsyncIterator[Handled]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def listening(number: int) -> None:
        if not port.done():
            port.set_result(number)

    made = funker.ahandle(function, host="127.0.0.1", port=0, listening=listening, **options)
    task = asyncio.create_task(made)
    try:
        async with asyncio.timeout(20):
            yield Handled(await port, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def add(a: int, b: int) -> int:
    return a + b


async def test_members_of_the_document_are_arguments_by_name() -> None:
    async with handled(add) as it:
        assert await asyncio.to_thread(go_call, it.port, {"a": 1, "b": 2}) == 3
        await it.task


async def test_a_document_in_pieces_is_one() -> None:
    async with handled(add) as it:
        assert await asyncio.to_thread(node_call, it.port, {"a": 1, "b": 2}, pieces=12) == b"3"


async def test_a_coroutine_can_be_the_function() -> None:
    async def later(**members: int) -> dict[str, int]:
        await asyncio.sleep(0)
        return {key: value * 2 for key, value in members.items()}

    async with handled(later) as it:
        assert await asyncio.to_thread(go_call, it.port, {"a": 1}) == {"a": 2}


@pytest.mark.parametrize("document", [5, "text", [1, 2], None])
async def test_what_is_no_object_is_the_only_argument(document: Any) -> None:
    async with handled(lambda value: [value]) as it:
        assert await asyncio.to_thread(go_call, it.port, document) == [document]


async def test_the_whole_document_is_one_value_as_for_node_and_go() -> None:
    async with handled(lambda document: document, whole=True) as it:
        assert await asyncio.to_thread(go_call, it.port, {"a": 1}) == {"a": 1}


async def test_a_function_that_returns_nothing_answers_null() -> None:
    async with handled(lambda: None) as it:
        assert await it.raw(b"{}") == b"null"


async def test_a_second_connection_is_refused_while_a_call_runs() -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        running.set()
        await go_on.wait()
        return "done"

    async with handled(slow) as it:
        first = asyncio.create_task(it.raw(b"{}"))
        await running.wait()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", it.port), timeout=0.1)
        go_on.set()
        assert await first == b'"done"'


async def test_an_error_is_answered_so_that_old_callers_can_read_it() -> None:
    async with handled(add) as it:
        said = await asyncio.to_thread(go_call, it.port, {"a": 1})
        assert said["$funker-error"]["type"] == "TypeError"
        assert "'b'" in said["$funker-error"]["message"]
        with pytest.raises(TypeError):
            await it.task


async def test_our_caller_raises_what_our_function_raised() -> None:
    def fail(name: str) -> None:
        raise ValueError(f"not {name}")

    async with handled(fail) as it:
        with pytest.raises(funker.FunkerFailed, match="ValueError: not you"):
            await funker.acall(f"127.0.0.1:{it.port}", name="you")


async def test_a_value_that_is_no_json_is_an_error_of_the_function() -> None:
    async with handled(lambda: {1, 2}) as it:
        said = json.loads(await it.raw(b"{}"))
        assert "cannot be written as JSON" in said["$funker-error"]["message"]


async def test_a_probe_of_the_port_is_no_call() -> None:
    ports: asyncio.Queue[int] = asyncio.Queue()
    task = asyncio.create_task(
        funker.ahandle(add, host="127.0.0.1", port=0, listening=ports.put_nowait)
    )
    async with asyncio.timeout(20):
        port = await ports.get()
        for _ in range(3):
            assert await asyncio.to_thread(raw_call, port, b"") == b""
            assert await ports.get() == port
        assert await asyncio.to_thread(go_call, port, {"a": 1, "b": 1}) == 2
        await task


@pytest.mark.parametrize("data", [b"{", b"hello", b"\xff\xfe", b"[" * 100_000])
async def test_a_call_that_is_no_json_is_told_so(data: bytes) -> None:
    async with handled(add) as it:
        assert "no JSON" in json.loads(await it.raw(data))["$funker-error"]["message"]
        with pytest.raises(UsageError, match="no JSON"):
            await it.task


async def test_a_call_that_is_too_large_is_told_so() -> None:
    async with handled(add, max_bytes=1000) as it:
        assert "larger than 1000" in (await it.raw(b"1" * 1001)).decode()
        with pytest.raises(TooLarge):
            await it.task


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=str(port)):
            await funker.ahandle(add, host="127.0.0.1", port=port)


def test_the_plain_handle_serves_one_call() -> None:
    import threading

    ports: list[int] = []
    called = threading.Event()

    def listening(port: int) -> None:
        ports.append(port)
        called.set()

    thread = threading.Thread(
        target=funker.handle, args=(add,), kwargs={"port": 0, "listening": listening}
    )
    thread.start()
    called.wait(20)
    assert funker.call(f"localhost:{ports[0]}", a=2, b=3) == 5
    thread.join(20)
    assert not thread.is_alive()
