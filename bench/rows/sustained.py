"""Fresh containers per second, as many at a time as both sides like."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT
from bench.harness import Bound, Row, Sides
from bench.timing import check, process_ms

if TYPE_CHECKING:
    from bench.place import Place

AT_A_TIME = 2 * (os.cpu_count() or 1)
OURS, THEIRS = 200, 12
"""Containers in one measurement."""


@asynccontextmanager
async def against_docker(place: Place) -> AsyncIterator[Sides]:
    docker = await place.docker()
    client = await place.client()
    command = docker.run("--network", "none", IMAGE, *COMMAND)

    async def call() -> None:
        check(await client.run(IMAGE, COMMAND, input=INPUT), OUTPUT)

    async def docker_run() -> None:
        await asyncio.to_thread(process_ms, command, input=INPUT.encode(), expect=OUTPUT.encode())

    async def ours() -> float:
        return await per_second(call, OURS)

    async def theirs() -> float:
        return await per_second(docker_run, THEIRS)

    yield Sides(ours, theirs)


async def per_second(call: Callable[[], Awaitable[None]], count: int) -> float:
    """Make ``count`` calls from AT_A_TIME callers and return how many a second there were."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await call()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as callers:
        for _ in range(AT_A_TIME):
            callers.create_task(caller())
    return count / (time.perf_counter() - began)


ROWS = (
    Row(
        name="fresh containers, sustained",
        competitor=f"docker run, also {AT_A_TIME} in parallel",
        unit="/s",
        figure="ours/theirs",
        must=Bound(">=", 25),
        wanted=Bound(">=", 40),
        sides=against_docker,
        runs=5,
        warm_up=1,
        calm=1.0,
    ),
)
