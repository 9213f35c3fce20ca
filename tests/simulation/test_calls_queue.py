"""The durable queue with 10,000 calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.queueing import eventually, queueing

if TYPE_CHECKING:
    from wherry.testing import Call


async def test_ten_thousand_queued_calls_are_drained_with_nothing_lost_or_doubled(
    tmp_path: Path,
) -> None:
    seen: dict[str, int] = {}

    async def count(call: Call) -> None:
        seen[call.env["NUMBER"]] = seen.get(call.env["NUMBER"], 0) + 1

    total = 10_000
    async with queueing(tmp_path, programs={"count": count}, concurrency=32) as on:
        on.declared.add("count", "count")
        numbers = iter(range(total))

        async def fill() -> None:
            for number in numbers:
                await on.put("count", b"", env={"NUMBER": str(number)})

        async with asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(fill())

        async def drained() -> bool:
            stats = await on.store.stats()
            return stats.queued == stats.running == 0

        await eventually(drained)
        assert len(seen) == total
        assert set(seen.values()) == {1}
        assert len(await on.store.list(state="done", limit=2 * total)) == total
