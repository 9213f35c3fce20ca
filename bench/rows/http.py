"""Functions over HTTP: one call, many callers, long bodies, and a server that does nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.calls import COMMAND, INPUT, OUTPUT
from bench.harness import MIB, Bound, Row, Sides
from bench.memory import peak_of, resident_of
from bench.served import Server, asked, cgi_server, wherry_serve

if TYPE_CHECKING:
    from bench.harness import Measure
    from bench.place import Place

CALLERS, SECONDS = 200, 6
FUNCTIONS = 1000
GIBIBYTES = 5
_BY_POLICY = {"200", "429", "503"}


def call(server: Server, path: str) -> Measure:
    """Return the measure of one call on a kept connection, in milliseconds."""
    connection = server.connect()

    async def measure() -> float:
        return asked(connection, path, body=INPUT.encode(), expect=OUTPUT.encode())

    return measure


@asynccontextmanager
async def against_cgi(place: Place) -> AsyncIterator[Sides]:
    async with wherry_serve(place) as ours, cgi_server(place) as theirs:
        ours.deploy("upper", command=COMMAND, ready="created:4")
        yield Sides(call(ours, "/function/upper"), call(theirs, "/"))


@asynccontextmanager
async def among_many(place: Place) -> AsyncIterator[Sides]:
    async with wherry_serve(place) as many, wherry_serve(place) as one:
        for server in (many, one):
            server.deploy("upper", command=COMMAND, ready="created:4")
        for number in range(FUNCTIONS - 1):
            many.deploy(f"other-{number}", command=COMMAND, ready="none")
        yield Sides(call(many, "/function/upper"), call(one, "/function/upper"))


@asynccontextmanager
async def idle(place: Place) -> AsyncIterator[Sides]:
    async with wherry_serve(place) as server:
        server.deploy("upper", command=COMMAND)
        await call(server, "/function/upper")()

        async def ours() -> float:
            return resident_of(server.pid) / 1e6

        yield Sides(ours)


@asynccontextmanager
async def crowded(place: Place) -> AsyncIterator[Sides]:
    async with wherry_serve(place) as server:
        server.deploy("upper", command=COMMAND)

        async def ours() -> float:
            found = await callers(server)
            wrong = found["statuses"].keys() - _BY_POLICY
            assert not wrong, f"answers that no policy explains: {found}"
            return float(found["p99"] / found["p50"])

        yield Sides(ours)


async def callers(server: Server) -> dict[str, Any]:
    words = [str(server.port), str(CALLERS), str(SECONDS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.callers", *words, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said)
    return found


@asynccontextmanager
async def long(place: Place) -> AsyncIterator[Sides]:
    async with wherry_serve(place) as server:
        server.deploy("cat", command=("cat",), stream="true")
        through(server, MIB)

        async def ours() -> float:
            before = resident_of(server.pid)
            await asyncio.to_thread(through, server, GIBIBYTES * 1024 * MIB)
            return (peak_of(server.pid) - before) / MIB

        yield Sides(ours)


def through(server: Server, size: int) -> None:
    """Send bytes through ``cat``, both directions at once, and count what comes back."""
    block = bytes(MIB)
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as client:
        client.sendall(
            b"POST /function/cat HTTP/1.0\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
        )
        sending = threading.Thread(target=_send, args=(client, block, size // MIB))
        sending.start()
        count = 0
        while read := client.recv_into(buffer := bytearray(MIB)):
            count += read if count else read - (buffer.index(b"\r\n\r\n") + 4)
        sending.join()
    assert count == size, f"{count} of {size} bytes came back"


def _send(client: socket.socket, block: bytes, times: int) -> None:
    for _ in range(times):
        client.sendall(block)


ROWS = (
    Row(
        name="HTTP invoke, fresh ready container",
        competitor="a server that forks the program for each request",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 2),
        wanted=Bound("<=", 1.2),
        sides=against_cgi,
        runs=101,
        warm_up=10,
        calm=0.05,
    ),
    Row(
        name=f"HTTP invoke, among {FUNCTIONS} functions",
        competitor="the same server with one function",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 1.5),
        wanted=Bound("<=", 1.1),
        sides=among_many,
        runs=101,
        warm_up=10,
        calm=0.05,
    ),
    Row(
        name=f"{CALLERS} callers at full rate, p99 of p50",
        competitor="none: a bound of its own",
        unit="x",
        figure="ours",
        must=Bound("<=", 10),
        wanted=Bound("<=", 4),
        sides=crowded,
        runs=10,
        warm_up=0,
    ),
    Row(
        name=f"memory growth, {GIBIBYTES} GiB through /function/cat",
        competitor="none: a bound of its own",
        unit="MiB",
        figure="ours",
        must=Bound("<=", 32),
        wanted=Bound("<=", 8),
        sides=long,
        runs=3,
        warm_up=0,
    ),
    Row(
        name="idle server, RSS",
        competitor="none: a bound of its own",
        unit="MB",
        figure="ours",
        must=Bound("<=", 90),
        wanted=Bound("<=", 60),
        sides=idle,
        runs=3,
        warm_up=0,
    ),
)
