"""The command line as a whole process: start of Python, one call, end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT
from bench.harness import Bound, Row, Sides
from bench.place import WHERRY, Place
from bench.timing import process_ms


@asynccontextmanager
async def against_docker(place: Place) -> AsyncIterator[Sides]:
    docker = await place.docker()
    await place.engine()
    theirs_command = docker.run("--network", "none", IMAGE, *COMMAND)
    ours_command = [WHERRY, "run", "-i", IMAGE, *COMMAND]
    env = {**os.environ, "WHERRY_DATA_DIR": str(place.data)}

    async def ours() -> float:
        return process_ms(ours_command, input=INPUT.encode(), expect=OUTPUT.encode(), env=env)

    async def theirs() -> float:
        return process_ms(theirs_command, input=INPUT.encode(), expect=OUTPUT.encode())

    yield Sides(ours, theirs)


ROWS = (
    Row(
        name="wherry run, whole process",
        competitor="docker run --rm -i --network none",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 0.5),
        wanted=Bound("<=", 0.3),
        sides=against_docker,
        runs=15,
        calm=0.2,
    ),
)
