"""One call of the library in a fresh container, against Docker and against bare bubblewrap."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT
from bench.harness import Bound, Measure, Row, Sides
from bench.timing import check, process_ms

if TYPE_CHECKING:
    from bench.place import Place

_HIDDEN = ("kcore", "keys", "key-users", "interrupts", "timer_list", "sysrq-trigger", "kmsg")


async def library_call(place: Place) -> Measure:
    """Return the measure of a whole call of the library, in milliseconds."""
    client = await place.client()
    await client.run(IMAGE, COMMAND, input=INPUT)

    async def call() -> float:
        began = time.perf_counter()
        answer = await client.run(IMAGE, COMMAND, input=INPUT)
        took = time.perf_counter() - began
        check(answer, OUTPUT)
        return took * 1000

    return call


@asynccontextmanager
async def against_docker(place: Place) -> AsyncIterator[Sides]:
    docker = await place.docker()
    command = docker.run("--network", "none", IMAGE, *COMMAND)

    async def theirs() -> float:
        return process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    yield Sides(await library_call(place), theirs)


@asynccontextmanager
async def against_bubblewrap(place: Place) -> AsyncIterator[Sides]:
    engine = await place.engine()
    ours = await library_call(place)
    image = engine.store.find(IMAGE)
    assert image is not None
    command = [*by_hand(engine.program, image.rootfs), *COMMAND]

    async def theirs() -> float:
        return process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

    yield Sides(ours, theirs)


def by_hand(program: Path, rootfs: Path) -> list[str]:
    """Return the command that a careful person would write for the same walls."""
    masks = [
        word
        for name in _HIDDEN
        if Path("/proc", name).exists()
        for word in ("--ro-bind", "/dev/null", f"/proc/{name}")
    ]
    return [
        str(program),
        *("--unshare-all", "--unshare-user", "--disable-userns", "--assert-userns-disabled"),
        *("--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"),
        *("--uid", "1000", "--gid", "1000", "--hostname", "bench"),
        *("--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        *("--overlay-src", str(rootfs), "--tmp-overlay", "/"),
        *("--proc", "/proc", *masks, "--remount-ro", "/proc"),
        *("--dev", "/dev", "--remount-ro", "/dev"),
        *("--perms", "1777", "--tmpfs", "/tmp"),
        *("--chdir", "/", "--"),
    ]


ROWS = (
    Row(
        name="cold call, library",
        competitor="docker run --rm -i --network none",
        unit="ms",
        figure="theirs/ours",
        must=Bound(">=", 20),
        wanted=Bound(">=", 40),
        sides=against_docker,
        runs=21,
        warm_up=3,
        calm=0.2,
    ),
    Row(
        name="cold call, library, vs sandbox",
        competitor="the same bubblewrap command by hand",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 1.6),
        wanted=Bound("<=", 1.25),
        sides=against_bubblewrap,
        runs=101,
        warm_up=10,
        calm=0.01,
    ),
)
