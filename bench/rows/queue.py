"""Durable queues: every call is on the disk before it is accepted, and when it has ended."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import Bound, Row, Sides
from bench.place import scratch
from tests.support.queueing import Queueing, body, queueing, request

if TYPE_CHECKING:
    from bench.place import Place

CALLS = 1000
CALLERS = 64
WORKERS = 16
POLL = 0.01
"""Seconds between two looks of a worker that found nothing."""


class Naive:
    """A queue as it is usually written on sqlite3: a transaction for each step, and polling.

    As durable as ours (WAL, synchronous=FULL), and it runs the calls through the same service.
    """

    def __init__(self, path: Path, on: Queueing) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._on = on
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE calls (id INTEGER PRIMARY KEY, state TEXT NOT NULL DEFAULT 'queued',"
            " body BLOB, result BLOB)"
        )
        self._db.execute("CREATE INDEX waiting ON calls (id) WHERE state = 'queued'")

    async def put(self, data: bytes) -> None:
        await self._do("INSERT INTO calls (body) VALUES (?)", (data,))

    async def work(self) -> None:
        upper = self._on.service.find("upper")
        while True:
            claimed = await self._do(
                "UPDATE calls SET state = 'running' WHERE id = (SELECT id FROM calls"
                " WHERE state = 'queued' ORDER BY id LIMIT 1) RETURNING id, body"
            )
            if not claimed:
                await asyncio.sleep(POLL)
                continue
            ((number, data),) = claimed
            out = b""
            async with self._on.service.call(upper, body(data), trigger="async") as live:
                async for event in live:
                    if getattr(event, "stream", None) == "stdout":
                        out += event.data  # type: ignore[union-attr]
            await self._do(
                "UPDATE calls SET state = 'done', result = ? WHERE id = ?", (out, number)
            )

    async def count(self) -> int:
        ((count,),) = await self._do("SELECT count(*) FROM calls WHERE state = 'done'")
        return int(count)

    async def _do(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._execute, statement, values)

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()


@asynccontextmanager
async def against_naive(place: Place) -> AsyncIterator[Sides]:
    async def ours() -> float:
        with scratch(place) as directory:
            async with queueing(directory, concurrency=WORKERS) as on:
                return await per_second(lambda: put(on), lambda: ended(on))

    async def theirs() -> float:
        with scratch(place) as directory:
            async with queueing(directory, working=False) as on:
                naive = Naive(directory / "naive.db", on)
                workers = [asyncio.create_task(naive.work()) for _ in range(WORKERS)]
                try:
                    return await per_second(lambda: naive.put(b"hello"), naive.count)
                finally:
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)

    yield Sides(ours, theirs)


async def per_second(
    put: Callable[[], Awaitable[object]], done: Callable[[], Awaitable[int]]
) -> float:
    """Queue CALLS calls from many callers, wait until all have ended; return calls a second."""
    left = iter(range(CALLS))

    async def caller() -> None:
        for _ in left:
            await put()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(caller())
    while await done() < CALLS:
        await asyncio.sleep(POLL)
    return CALLS / (time.perf_counter() - began)


async def put(on: Queueing) -> None:
    await on.store.enqueue(request(), body(b"hello"))


async def ended(on: Queueing) -> int:
    stats = await on.store.stats()
    return CALLS - stats.queued - stats.running


ROWS = (
    Row(
        name="queued calls, accepted and run",
        competitor="a queue on sqlite3, a transaction per step",
        unit="/s",
        figure="ours/theirs",
        must=Bound(">=", 1.0),
        wanted=Bound(">=", 2.0),
        sides=against_naive,
        runs=9,
        warm_up=1,
    ),
)
