"""The memory engine, ready for the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.harness import Harness
from tests.support.programs import contract_busybox

from wherry.testing import MemoryEngine

if TYPE_CHECKING:
    import pytest

    from wherry.engines.base import Container


def harness_of(engine: MemoryEngine, *, patience: float = 15.0) -> Harness:
    """Return the harness of a memory engine, which may be a broken one."""
    engine.programs["busybox"] = contract_busybox
    before = asyncio.all_tasks()

    async def leftovers() -> list[str]:
        tasks = asyncio.all_tasks() - before - {asyncio.current_task()}
        return [*engine.running, *(task.get_name() for task in tasks)]

    async def ids() -> set[str]:
        return set(engine.running)

    async def cut(container: Container) -> None:
        engine.fail("broken by a test")

    def unavailable() -> MemoryEngine:
        broken = MemoryEngine()
        broken.fail("broken from the start")
        return broken

    return Harness(
        name="memory",
        engine=engine,
        leftovers=leftovers,
        ids=ids,
        cut=cut,
        unavailable=unavailable,
        patience=patience,
        timeout=0.05,
        in_flight=256 * 1024,
    )


@asynccontextmanager
async def memory_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    engine = MemoryEngine()
    yield harness_of(engine)
    await engine.aclose()
