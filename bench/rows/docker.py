"""The Docker engine through wherry, against its own command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT, cold, ready, timed
from bench.harness import Bound, Row, Sides
from bench.timing import process_ms

if TYPE_CHECKING:
    from bench.harness import Measure
    from bench.place import Place

SAME = (
    *("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--init", "--pids-limit", "1024", "--log-driver", "none"),
)
"""What wherry asks of the engine for every container, as options of `docker run`."""


async def docker_run(place: Place, *options: str) -> Measure:
    command = (await place.docker()).run(*options, IMAGE, *COMMAND)

    async def measure() -> float:
        return process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    return measure


@asynccontextmanager
async def library(place: Place) -> AsyncIterator[Sides]:
    from wherry import AsyncClient

    theirs = await docker_run(place, *SAME)
    async with AsyncClient(await place.docker_engine()) as client:
        call = cold(client)

        async def ours() -> float:
            return await timed(call)

        yield Sides(ours, theirs)


@asynccontextmanager
async def started(place: Place) -> AsyncIterator[Sides]:
    theirs = await docker_run(place, "--network", "none")
    async with ready(await place.docker_engine(), least=2, level="started") as calls:

        async def ours() -> float:
            return await timed(calls.ready_call)

        yield Sides(ours, theirs)


ROWS = (
    Row(
        name="docker engine, library",
        competitor="docker run, same options",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 0.9),
        wanted=Bound("<=", 0.8),
        sides=library,
        runs=15,
        calm=0.2,
    ),
    Row(
        name="docker engine, ready (started)",
        competitor="docker run --rm -i --network none",
        unit="ms",
        figure="theirs/ours",
        must=Bound(">=", 30),
        wanted=Bound(">=", 60),
        sides=started,
        runs=7,
        warm_up=1,
        calm=1.0,
    ),
)
