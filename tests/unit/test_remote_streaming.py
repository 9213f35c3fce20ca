"""Live answers, line by line, from containers that are only remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from wherry.errors import EngineError, WherryError
from wherry.models import Exit, Output
from wherry.remote.faults import Malformed
from wherry.remote.lines import Lines
from wherry.remote.model import Call, Caller
from wherry.remote.streaming import is_stream

Event = Output | Exit


async def events(*given: Event | WherryError) -> AsyncIterator[Event]:
    for one in given:
        if isinstance(one, WherryError):
            raise one
        yield one


def lines(given: AsyncIterator[Event], left: list[str], *, seconds: float | None = None) -> Lines:
    stack = AsyncExitStack()
    stack.callback(left.append, "the container")
    told: Callable[[WherryError], str] = lambda error: f"told: {type(error).__name__}"  # noqa: E731
    return Lines(given, stack, first={"name": "x"}, seconds=seconds, told=told)


async def read(body: Lines) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) async for line in body]
    finally:
        await body.aclose()


async def test_text_is_cut_between_characters_of_each_stream() -> None:
    euro = "€".encode()
    left: list[str] = []
    given = events(
        Output("stdout", b"a" + euro[:1]),
        Output("stderr", euro[:2]),
        Output("stdout", euro[1:]),
        Output("stderr", euro[2:]),
        Output("stdout", b"\xff" + euro[:2]),
        Exit(137, "oom"),
    )
    assert await read(lines(given, left)) == [
        {"name": "x"},
        {"stream": "stdout", "data": "a"},
        {"stream": "stdout", "data": "€"},
        {"stream": "stderr", "data": "€"},
        {"stream": "stdout", "data": "\ufffd"},
        {"stream": "stdout", "data": "\ufffd"},
        {"exit_code": 137, "reason": "oom"},
    ]
    assert left == ["the container"]


@pytest.mark.parametrize("piece", [b"\0", b"\n", b"x", "🐋".encode()])
async def test_no_line_is_longer_than_readers_of_lines_take(piece: bytes) -> None:
    said = piece * (100_000 // len(piece))
    found = [line async for line in lines(events(Output("stdout", said), Exit(0, "exited")), [])]
    assert max(map(len, found)) < 64 * 1024
    assert "".join(json.loads(line).get("data", "") for line in found).encode() == said


async def test_an_end_that_nobody_knows_is_no_exit_code() -> None:
    left: list[str] = []
    told = await read(lines(events(Output("stdout", b"x"), EngineError("/run/secret")), left))
    assert told[-1] == {"error": "told: EngineError"}
    assert "exit_code" not in json.dumps(told)
    assert left == ["the container"]


async def test_a_program_that_takes_too_long_is_ended() -> None:
    async def silent() -> AsyncIterator[Event]:
        await asyncio.Event().wait()
        yield Exit(0)

    left: list[str] = []
    told = await read(lines(silent(), left, seconds=0.01))
    assert told[-1] == {"exit_code": None, "reason": "timeout"}
    assert left == ["the container"]


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_whoever_stops_reading_ends_the_container(taken: int) -> None:
    left: list[str] = []
    body = lines(events(Output("stdout", b"x"), Exit(0)), left)
    for _ in range(taken):
        await anext(body)
    await body.aclose()
    await body.aclose()
    assert left == ["the container"]


@pytest.mark.parametrize(
    ("method", "target", "query", "wanted"),
    [
        ("PUT", "", {"stream": "1"}, True),
        ("PUT", "", {"stream": ""}, True),
        ("PUT", "", {"stream": "0"}, False),
        ("PUT", "", {}, False),
        ("GET", "x", {"stream": "1"}, True),
        ("GET", "", {"stream": "1"}, False),
        ("GET", "x", {"stream": "1", "inspect": ""}, False),
        ("POST", "x", {"stream": "true"}, True),
        ("DELETE", "x", {"stream": "1"}, False),
        ("HEAD", "x", {"stream": "1"}, False),
    ],
)
def test_a_stream_is_for_runs_execs_and_logs(
    method: str, target: str, query: dict[str, str], wanted: bool
) -> None:
    caller = Caller(name="operator")
    call = Call(method=method, target=target, query=query, fields={}, caller=caller)
    assert is_stream(call) is wanted


def test_what_is_neither_yes_nor_no_is_refused() -> None:
    caller = Caller(name="operator")
    with pytest.raises(Malformed, match="stream"):
        is_stream(Call(method="PUT", target="", query={"stream": "2"}, fields={}, caller=caller))
