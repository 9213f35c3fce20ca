"""`wherry remote` on an engine, and the docker command by fork, which is how its rival works."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.place import WHERRY
from bench.served import Server, free_port, running

if TYPE_CHECKING:
    from bench.place import Place

TOKEN = "bench-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
CALLERS = 4
_PATIENCE = 30.0

Ask = Callable[[], None]


@asynccontextmanager
async def wherry_remote(place: Place) -> AsyncIterator[Server]:
    """Run a server without limits on the place's Docker engine."""
    port = free_port()
    options = ("--low_burst", "0", "--mid_burst", "0", "--high_burst", "0", "--grace", "1s")
    where = ("--host", "127.0.0.1", "--port", str(port), "--engine", (await place.docker()).address)
    async with running(WHERRY, "remote", "--token", TOKEN, *where, *options) as pid:
        server = Server(pid, port)
        _await_answer(server)
        yield server


def _await_answer(server: Server) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            ask(server.connect(), "GET", "/")
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, fields: object = None
) -> bytes:
    """Ask once, and check that it was done."""
    body = None if fields is None else json.dumps(fields)
    connection.request(method, path, body, HEADERS)
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status == 200, read
    return read


def by_http(server: Server, method: str, path: str, fields: object = None) -> Callable[[], Ask]:
    """Return what makes a caller, who asks on a connection of its own."""

    def caller() -> Ask:
        connection = server.connect()
        return lambda: _done(ask(connection, method, path, fields))

    return caller


def by_fork(*command: str) -> Callable[[], Ask]:
    """Return what makes a caller, who runs a command for each request."""

    def caller() -> Ask:
        return lambda: _done(subprocess.run(command, check=True, capture_output=True).stdout)

    return caller


def _done(answer: bytes) -> None:
    del answer


def asked(caller: Callable[[], Ask], times: int) -> tuple[float, list[float]]:
    """Let the callers ask so often in all; return the seconds, and those of each request."""

    def work(_: int) -> list[float]:
        ask_once = caller()
        took = []
        for _ in range(times // CALLERS):
            began = time.perf_counter()
            ask_once()
            took.append(time.perf_counter() - began)
        return took

    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        each = list(pool.map(work, range(CALLERS)))
    return time.perf_counter() - began, sorted(seconds for took in each for seconds in took)
