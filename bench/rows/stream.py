"""One gibibyte through `cat` in a container, and the memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import MIB, Bound, Row, Sides

if TYPE_CHECKING:
    from bench.place import Place

SIZE_MIB = 1024


async def streamed(place: Place) -> dict[str, float]:
    """Stream once through the library, in a process of its own, and return its figures."""
    await place.engine()
    command = [sys.executable, "-m", "bench.streaming", str(place.data), str(SIZE_MIB)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@asynccontextmanager
async def against_cat(place: Place) -> AsyncIterator[Sides]:
    zeros = sparse_file(place.directory / "zeros")

    async def ours() -> float:
        return SIZE_MIB / (await streamed(place))["seconds"]

    async def theirs() -> float:
        began = time.perf_counter()
        piped = f"cat {zeros} | cat >/dev/null"
        subprocess.run(["sh", "-c", piped], check=True, stdin=subprocess.DEVNULL)
        return SIZE_MIB / (time.perf_counter() - began)

    yield Sides(ours, theirs)


@asynccontextmanager
async def alone(place: Place) -> AsyncIterator[Sides]:
    async def ours() -> float:
        return (await streamed(place))["growth"] / MIB

    yield Sides(ours)


def sparse_file(path: Path) -> Path:
    with path.open("wb") as file:
        os.truncate(file.fileno(), SIZE_MIB * MIB)
    return path


ROWS = (
    Row(
        name="1 GiB in, cat, 1 GiB out, library",
        competitor="cat | cat",
        unit="MiB/s",
        figure="ours/theirs",
        must=Bound(">=", 0.35),
        wanted=Bound(">=", 0.7),
        sides=against_cat,
        runs=5,
        warm_up=1,
    ),
    Row(
        name="memory growth of that stream",
        competitor="none: a bound of its own",
        unit="MiB",
        figure="ours",
        must=Bound("<=", 32),
        wanted=Bound("<=", 8),
        sides=alone,
        runs=3,
        warm_up=0,
    ),
)
