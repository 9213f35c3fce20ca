"""A call that finds its container waiting, and what one that waits takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT, ready, timed
from bench.growth.waiting import measured
from bench.harness import Bound, Missing, Row, Sides
from bench.timing import process_ms

if TYPE_CHECKING:
    from bench.place import Place

CALM = 0.05
"""Seconds, in which the container of one call is replaced before the next measurement."""
WAITING = 4
DEFAULT_MOST = 16
"""Containers: as many as a function keeps ready at most, unless it says otherwise."""


async def outside(place: Place) -> list[str]:
    """Return the program of the image as a command of this machine."""
    image = (await place.engine()).store.find(IMAGE)
    assert image is not None
    return [str(image.rootfs / "bin" / "busybox"), *COMMAND]


@asynccontextmanager
async def against_exec(place: Place) -> AsyncIterator[Sides]:
    command = await outside(place)

    async def theirs() -> float:
        return process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    async with ready(await place.another_engine(), least=WAITING) as calls:

        async def ours() -> float:
            return await timed(calls.ready_call)

        yield Sides(ours, theirs)


@asynccontextmanager
async def alone(place: Place) -> AsyncIterator[Sides]:
    await place.engine()

    async def ours() -> float:
        step = await asyncio.to_thread(measured, place.data, DEFAULT_MOST)
        if step.pss is None:
            raise Missing(step.note)
        return step.pss / 1e6

    yield Sides(ours)


ROWS = (
    Row(
        name="ready call (created), library",
        competitor="fork+exec of the same program",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 2.5),
        wanted=Bound("<=", 1.5),
        sides=against_exec,
        runs=101,
        warm_up=10,
        calm=CALM,
    ),
    Row(
        name=f"memory of each ready container, of {DEFAULT_MOST}",
        competitor="none: a bound of its own",
        unit="MB",
        figure="ours",
        must=Bound("<=", 1.5),
        wanted=Bound("<=", 0.7),
        sides=alone,
        runs=3,
        warm_up=0,
    ),
)
