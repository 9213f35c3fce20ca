"""Containers at a distance: the remote container API against the docker command by fork."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.calls import IMAGE
from bench.harness import Bound, Row, Sides
from bench.remote_server import Ask, ask, asked, by_fork, by_http, wherry_remote

if TYPE_CHECKING:
    from bench.harness import Measure
    from bench.place import Place

BOX = "bench-remote"
CONTAINERS = 1000


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing to ask for, over HTTP and of the docker command."""

    name: str
    times: int
    """How often in one measurement, by all callers together."""
    request: tuple[Any, ...]
    words: Sequence[str]


VERBS = (
    Verb("list", 200, ("GET", "/"), ("ps", "-a")),
    Verb("logs", 200, ("GET", f"/{BOX}"), ("logs", BOX)),
    Verb("exec", 40, ("POST", f"/{BOX}", {"data": "true"}), ("exec", BOX, "true")),
    Verb(
        "run", 8, ("PUT", "/", {"image": IMAGE, "data": "true", "remove": True}),
        ("run", "--rm", IMAGE, "true"),
    ),
)  # fmt: skip


def measured(caller: Callable[[], Ask], times: int, *, p99: bool) -> Measure:
    """Return the measure of requests a second, or of the milliseconds that 1 in 100 exceeds."""

    async def measure() -> float:
        seconds, each = await asyncio.to_thread(asked, caller, times)
        return each[min(len(each) - 1, int(len(each) * 0.99))] * 1000 if p99 else times / seconds

    return measure


def against_fork(verb: Verb, *, p99: bool) -> Callable[[Place], AbstractAsyncContextManager[Sides]]:
    @asynccontextmanager
    async def sides(place: Place) -> AsyncIterator[Sides]:
        command = (await place.docker()).command
        async with wherry_remote(place) as server:
            box = {
                "image": IMAGE,
                "name": BOX,
                "detach": True,
                "data": "sh -c 'echo up; sleep 9999'",
            }
            ask(server.connect(), "DELETE", f"/{BOX}")
            ask(server.connect(), "PUT", "/", box)
            try:
                yield Sides(
                    measured(by_http(server, *verb.request), verb.times, p99=p99),
                    measured(by_fork(*command, *verb.words), verb.times, p99=p99),
                )
            finally:
                ask(server.connect(), "DELETE", f"/{BOX}")

    return sides


class Engine(http.client.HTTPConnection):
    """The engine's own socket, on one kept connection."""

    def __init__(self, address: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = address.removeprefix("docker://")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def list(self) -> list[dict[str, object]]:
        self.request("GET", "/containers/json?all=1")
        found: list[dict[str, object]] = json.loads(self.getresponse().read())
        return found


@asynccontextmanager
async def many(place: Place) -> AsyncIterator[Sides]:
    """A list of a thousand containers, against what the engine itself needs to tell them."""
    engine = Engine((await place.docker()).address)
    made = [await asyncio.to_thread(_create, engine) for _ in range(CONTAINERS)]
    try:
        async with wherry_remote(place) as server:
            connection = server.connect()

            async def ours() -> float:
                return await _ms(lambda: ask(connection, "GET", "/"))

            async def theirs() -> float:
                return await _ms(engine.list)

            assert len(json.loads(ask(connection, "GET", "/"))) >= CONTAINERS
            yield Sides(ours, theirs)
    finally:
        for id_ in made:
            engine.request("DELETE", f"/containers/{id_}?force=1")
            engine.getresponse().read()


def _create(engine: Engine) -> str:
    body = json.dumps({"Image": IMAGE, "Cmd": ["true"]})
    engine.request("POST", "/containers/create", body, {"Content-Type": "application/json"})
    return str(json.loads(engine.getresponse().read())["Id"])


async def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    await asyncio.to_thread(work)
    return (time.perf_counter() - began) * 1000


@asynccontextmanager
async def overhead(place: Place) -> AsyncIterator[Sides]:
    """What a request costs beyond the engine's own time for the same."""
    engine = Engine((await place.docker()).address)
    made = [_create(engine) for _ in range(10)]
    try:
        async with wherry_remote(place) as server:
            connection = server.connect()

            async def ours() -> float:
                own = await _ms(engine.list)
                return await _ms(lambda: ask(connection, "GET", "/")) - own

            yield Sides(ours)
    finally:
        for id_ in made:
            engine.request("DELETE", f"/containers/{id_}?force=1")
            engine.getresponse().read()


def _rate(verb: Verb) -> Row[Any]:
    return Row(
        name=f"remote {verb.name}, requests a second",
        competitor=f"docker {verb.words[0]}, by fork",
        unit="/s",
        figure="ours/theirs",
        must=Bound(">=", 1),
        wanted=Bound(">=", 1.2),
        sides=against_fork(verb, p99=False),
        runs=5,
        warm_up=1,
    )


def _p99(verb: Verb) -> Row[Any]:
    return Row(
        name=f"remote {verb.name}, p99",
        competitor=f"docker {verb.words[0]}, by fork",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 1.1),
        wanted=Bound("<=", 0.8),
        sides=against_fork(verb, p99=True),
        runs=5,
        warm_up=1,
    )


ROWS = (
    *(row(verb) for verb in VERBS for row in (_rate, _p99)),
    Row(
        name="remote list of 1,000 containers",
        competitor="the engine's own answer",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 2),
        wanted=Bound("<=", 1.3),
        sides=many,
        runs=15,
    ),
    Row(
        name="remote, over the engine's own time",
        competitor="none: a bound of its own",
        unit="ms",
        figure="ours",
        must=Bound("<=", 3),
        wanted=Bound("<=", 1.5),
        sides=overhead,
        runs=31,
    ),
)
