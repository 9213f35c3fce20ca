"""The scoped Docker API, against the engine's own socket."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT
from bench.harness import MIB, Bound, Row, Sides
from bench.memory import resident_of
from bench.scoped import Asking, followers, scoped
from bench.timing import process_ms

if TYPE_CHECKING:
    from bench.docker import Docker
    from bench.harness import Measure
    from bench.place import Place

REQUESTS = 200
FOLLOWERS = 500
ATTACHED_MIB = 256
MB = 1000 * 1000


@asynccontextmanager
async def added(place: Place) -> AsyncIterator[Sides]:
    """How much longer an inspection takes, at the median of requests that alternate."""
    async with scoped(place) as stand, container(stand.ours) as name:
        ours, theirs = Asking(stand.socket), Asking(stand.engine)
        full = output([*stand.ours.command, "inspect", "-f", "{{.Id}}", name])

        def measure() -> float:
            target = f"/v1.41/containers/{full}/json"
            taken = [(ours.ms(target), theirs.ms(target)) for _ in range(REQUESTS)]
            through = statistics.median(mine for mine, _ in taken)
            return through - statistics.median(direct for _, direct in taken)

        yield Sides(lambda: asyncio.to_thread(measure))


@asynccontextmanager
async def whole_run(place: Place) -> AsyncIterator[Sides]:
    def run(docker: Docker, *options: str) -> Measure:
        command = docker.run(*options, IMAGE, *COMMAND)

        async def measure() -> float:
            return process_ms(command, input=INPUT.encode(), expect=OUTPUT.encode())

        return measure

    async with scoped(place) as stand:
        async with container(stand.ours) as name:
            full = output([*stand.ours.command, "inspect", "-f", "{{.Id}}", name])
            found = json.loads(output([*stand.theirs.command, "inspect", full]))[0]["HostConfig"]
        yield Sides(run(stand.ours), run(stand.theirs, *same(found)))


def same(host: dict[str, Any]) -> tuple[str, ...]:
    """Return what the policy makes of a plain `docker run`, as options of another one."""
    return (
        *("--network", host["NetworkMode"], "--cgroup-parent", host["CgroupParent"]),
        *("--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"])),
        *("--cpus", str(host["NanoCpus"] / 10**9), "--pids-limit", str(host["PidsLimit"])),
        *(word for name in host["CapDrop"] or () for word in ("--cap-drop", name)),
        *(word for text in host["SecurityOpt"] or () for word in ("--security-opt", text)),
        *("--cgroupns", host["CgroupnsMode"], "--ulimit", "core=0"),
    )


@asynccontextmanager
async def attached(place: Place) -> AsyncIterator[Sides]:
    zeros = place.directory / "attached"
    with zeros.open("wb") as file:
        file.truncate(ATTACHED_MIB * MIB)

    def run(docker: Docker) -> Measure:
        command = ["sh", "-c", f'"$@" <{zeros} | wc -c', "sh", *docker.run(IMAGE, "cat")]
        expect = b"%d\n" % (ATTACHED_MIB * MIB)

        async def measure() -> float:
            return ATTACHED_MIB / process_ms(command, expect=expect) * 1000

        return measure

    async with scoped(place) as stand:
        yield Sides(run(stand.ours), run(stand.theirs))


@asynccontextmanager
async def following(place: Place) -> AsyncIterator[Sides]:
    async with scoped(place) as stand, container(stand.ours) as name:

        async def ours() -> float:
            target = f"/v1.41/containers/{name}/logs?follow=1&stdout=1"
            async with followers(stand.socket, target, number=FOLLOWERS):
                return resident_of(stand.pid) / MB

        yield Sides(ours)


@asynccontextmanager
async def container(docker: Docker) -> AsyncIterator[str]:
    """Have a container that does nothing."""
    output([*docker.command, "run", "-d", "--name", "idle", IMAGE, "sleep", "3600"])
    try:
        yield "idle"
    finally:
        output([*docker.command, "rm", "-f", "idle"])


def output(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


ROWS = (
    Row(
        name="scoped API, added to a request",
        competitor="none: a bound of its own",
        unit="ms",
        figure="ours",
        must=Bound("<=", 1.5),
        wanted=Bound("<=", 1),
        sides=added,
        runs=9,
    ),
    Row(
        name="scoped API, docker run",
        competitor="docker run, the policy's options",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 1.1),
        wanted=Bound("<=", 1.05),
        sides=whole_run,
        runs=15,
        calm=0.2,
    ),
    Row(
        name="256 MiB in, cat, out, scoped API",
        competitor="the same, engine's socket",
        unit="MiB/s",
        figure="ours/theirs",
        must=Bound(">=", 0.5),
        wanted=Bound(">=", 0.9),
        sides=attached,
        runs=5,
        warm_up=1,
    ),
    Row(
        name="scoped API, 500 idle followers, RSS",
        competitor="none: a bound of its own",
        unit="MB",
        figure="ours",
        must=Bound("<=", 150),
        wanted=Bound("<=", 100),
        sides=following,
        runs=3,
        warm_up=0,
    ),
)
