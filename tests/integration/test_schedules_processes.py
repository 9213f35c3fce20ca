"""Several schedulers, each a process, at one store; one is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from tests.support.scheduler_process import SCHEDULES

from wherry.triggers.cron.store import RunFilter, ScheduleStore

TOP = Path(__file__).parents[2]


class Scheduling:
    """A process, and what it said."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.scheduler_process", directory],
            cwd=TOP, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TOP)},
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)

    def close(self) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def scheduling(directory: Path) -> Iterator[Scheduling]:
    made = Scheduling(directory)
    try:
        yield made
    finally:
        made.close()


def said(lines: list[str], *, status: str) -> list[str]:
    return [line.removesuffix(f" {status}") for line in lines if line.endswith(f" {status}")]


@pytest.mark.timeout(90)
async def test_no_tick_runs_twice_and_a_kill_9_stops_the_killed_one_alone(tmp_path: Path) -> None:
    with scheduling(tmp_path) as one, scheduling(tmp_path) as other:
        await _until(lambda: len(said(one.lines + other.lines, status="succeeded")) > 100)
        await asyncio.to_thread(one.kill)
        before = len(other.lines)
        await _until(lambda: len(other.lines) > before + 60)
        await asyncio.to_thread(other.kill)
    ran = said(one.lines + other.lines, status="succeeded")
    assert [tick for tick, count in Counter(ran).items() if count > 1] == []
    assert len({tick.split()[0] for tick in ran}) == SCHEDULES
    async with await ScheduleStore.open(tmp_path) as store:
        runs = await store.runs(RunFilter(limit=100_000))
        ticks = Counter((run.name, run.scheduled) for run in runs)
        assert max(ticks.values()) == 1
        assert {run.status for run in runs} <= {"succeeded", "missed", "failed"}
        done = {f"{run.name} {run.scheduled:.0f}" for run in runs if run.status == "succeeded"}
        assert set(ran) <= done


async def _until(reached: object) -> None:
    assert callable(reached)
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.05)
