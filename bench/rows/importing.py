"""What a program pays for `import wherry` before it does anything with it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.harness import Bound, Row, Sides
from bench.timing import process_ms

if TYPE_CHECKING:
    from bench.place import Place


@asynccontextmanager
async def against_nothing(place: Place) -> AsyncIterator[Sides]:
    del place

    async def ours() -> float:
        return process_ms([sys.executable, "-c", "import wherry"])

    async def theirs() -> float:
        return process_ms([sys.executable, "-c", "pass"])

    yield Sides(ours, theirs)


ROWS = (
    Row(
        name="import wherry, whole process",
        competitor="python -c pass",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 3),
        wanted=Bound("<=", 1.5),
        sides=against_nothing,
        runs=41,
        warm_up=5,
    ),
)
