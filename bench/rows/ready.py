"""A call in a sandbox that stands ready, against starting the same program outside of one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.harness import Bound, Missing, Row, Sides
from bench.place import IMAGE, Place
from bench.rows.cold import COMMAND, INPUT, OUTPUT
from bench.timing import check, process_ms

if TYPE_CHECKING:
    from wherry.engines.base import Container

CALM = 0.02
"""Seconds."""


@asynccontextmanager
async def against_exec(place: Place) -> AsyncIterator[Sides]:
    from wherry.engines.local.ready import GATE
    from wherry.models import Function, Invocation

    if not GATE.exists():
        raise Missing("the gate of ready sandboxes is not compiled (Debian: musl-tools)")
    engine = await place.engine()
    function = Function(name="shout", image=IMAGE, command=COMMAND)
    rootfs = engine.store.find(IMAGE)
    assert rootfs is not None
    command = [str(rootfs.rootfs / "bin" / "busybox"), *COMMAND]

    async def ours() -> float:
        async with engine.reserve(function) as slot:
            await asyncio.sleep(CALM)  # not right after it was made
            began = time.perf_counter()
            async with slot.start(Invocation(function=function), words()) as container:
                answer = await stdout_of(container)
            took = time.perf_counter() - began
        check(answer, OUTPUT.encode())
        return took * 1000

    async def theirs() -> float:
        return process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    yield Sides(ours, theirs)


async def words() -> AsyncIterator[bytes]:
    yield INPUT.encode()


async def stdout_of(container: Container) -> bytes:
    from wherry.models import Output

    return b"".join([event.data async for event in container if isinstance(event, Output)])


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
)
