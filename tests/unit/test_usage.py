"""What functions take: rates of what engines tell, handed on by whatever wraps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from wherry.client import AsyncClient
from wherry.engines.base import Usage
from wherry.engines.docker.measuring import parse
from wherry.engines.local.measuring import Measured, measure
from wherry.service.usage import Used, used
from wherry.testing import MemoryEngine
from wherry.wrappers.deadline import Deadline
from wherry.wrappers.limit import Limit
from wherry.wrappers.pool import Pool

GONE = 2**31 - 1
"""A pid that nothing has: the kernel's largest is 2**22."""


def usage(id: str, seconds: float, memory: int = 100) -> Usage:  # noqa: A002
    return Usage(id=id, cpu_seconds=seconds, memory=memory)


class Telling(MemoryEngine):
    """An engine that tells one thing after the other."""

    def __init__(self, *told: Sequence[Usage]) -> None:
        super().__init__()
        self._told = list(told)
        self.asked: list[str] = []

    async def usage(self, function: str) -> Sequence[Usage]:
        self.asked.append(function)
        return self._told.pop(0)


@pytest.mark.parametrize("wrap", [AsyncClient, Deadline, Limit, Pool])
async def test_whatever_wraps_an_engine_hands_on_what_it_tells(wrap: Any) -> None:
    told = [usage("a", 1.0)]
    engine = Telling(told)
    assert await wrap(engine).usage("f") == told
    assert engine.asked == ["f"]
    assert list(await wrap(MemoryEngine()).usage("f")) == []


async def test_cpu_is_a_rate_between_two_looks_and_memory_the_later_one() -> None:
    window = 0.01
    before = [usage("stays", 1.0), usage("ends", 5.0)]
    after = [usage("stays", 1.0 + window, 300), usage("new", window, 50)]
    found = await used(AsyncClient(Telling(before, after)), "f", window=window)
    assert found.memory == 350
    assert 0 < found.cores <= 2.0


async def test_a_function_without_containers_takes_nothing_and_no_time() -> None:
    engine = Telling([])
    assert await used(AsyncClient(engine), "f", window=1000.0) == Used()
    assert await used(AsyncClient(MemoryEngine()), "f", window=1000.0) == Used()


@pytest.mark.parametrize(
    ("memory", "bytes_"),
    [({"usage": 5000, "stats": {"total_inactive_file": 1000}}, 4000),
     ({"usage": 5000, "stats": {"inactive_file": 2000}}, 3000),
     ({"usage": 5000}, 5000),
     ({"usage": 100, "stats": {"inactive_file": 2000}}, 0)],
)  # fmt: skip
def test_dockers_account_is_read_on_both_kinds_of_control_groups(memory: Any, bytes_: int) -> None:
    stats = {"cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}}, "memory_stats": memory}
    assert parse("a", stats) == usage("a", 1.5, bytes_)


def test_a_docker_container_that_does_not_run_takes_nothing() -> None:
    assert parse("a", {"cpu_stats": {}, "memory_stats": {}}) is None
    assert parse("a", {}) is None


def test_a_sandbox_that_has_ended_takes_nothing() -> None:
    assert measure([Measured(id="a", pid=GONE, group=None)]) == [usage("a", 0.0, 0)]
