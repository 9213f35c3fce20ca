from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from bench.figures import percentile, steps
from bench.growth.images import Sized, write_tar
from bench.growth.report import Growth, as_json, as_tables
from bench.growth.waiting import Step, too_much
from bench.latency import Latency
from bench.memory import descendants, footprint
from bench.plots.look import milliseconds, round_numbers
from bench.recorded import read_latencies, read_points, write_latencies, write_points
from bench.throughput import Point, sustained

from wherry.engines.memory import MemoryEngine

MACHINE = {"cores": 2, "load": [0.5, 0.4, 0.3]}


def step(count: int, *, pss: float | None = 1e6, machine: float = 2e6) -> Step:
    return Step(count=count, pss=pss, machine=machine, note="" if pss else "it broke")


@pytest.mark.parametrize(("percent", "expected"), [(50, 5.0), (99, 10.0), (1, 1.0), (10, 1.0)])
def test_a_percentile_is_a_sample_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([10.0, 1, 2, 3, 4, 5, 6, 7, 8, 9], percent) == expected


def test_steps_rise_to_all_samples() -> None:
    assert steps([3.0, 1.0]) == ([1.0, 3.0], [50.0, 100.0])
    assert steps([]) == ([], [])


def test_ticks_enclose_what_was_measured() -> None:
    assert round_numbers(1.4, 12) == [1, 2, 5, 10, 20]
    assert round_numbers(5, 5) == [5]


def test_milliseconds_are_said_in_few_digits() -> None:
    assert [milliseconds(value) for value in (1.234, 42.4, 267.9)] == ["1.2 ms", "42 ms", "268 ms"]


def test_containers_that_would_not_fit_into_memory_are_not_made() -> None:
    assert too_much(1000, last=step(100), available=5 * 10**9) == ""
    assert "2000 MB of 3000 MB" in too_much(1000, last=step(100), available=3 * 10**9)


def test_one_container_alone_is_not_judged_by_what_the_machine_has_less() -> None:
    assert too_much(10, last=step(1, machine=10**9), available=10**9) == ""


def test_after_a_step_that_failed_no_more_are_made() -> None:
    assert "because of 100: it broke" in too_much(1000, last=step(100, pss=None), available=10**9)


async def test_as_many_calls_run_at_a_time_as_there_are_callers() -> None:
    running, most = 0, 0

    async def call() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    seconds, samples = await sustained(call, callers=8, window=0.005)
    assert most == 8
    assert len(samples) >= 8
    assert seconds >= 0.005


async def test_a_call_that_began_in_time_counts_with_all_its_time() -> None:
    clock = iter([0.0, 0.5, 3.0, 3.0, 3.0])  # begins, a call from here to there, asks, ends

    async def call() -> None:
        pass

    seconds, samples = await sustained(call, callers=1, window=1.0, clock=lambda: next(clock))
    assert samples == [2500.0]
    assert seconds == 3.0


async def test_every_caller_calls_once_however_late_it_begins() -> None:
    async def call() -> None:
        pass

    clock = iter(range(100))
    _, samples = await sustained(call, callers=5, window=1, clock=lambda: next(clock))
    assert len(samples) == 5


async def test_an_engine_without_ready_containers_is_said_to_have_none() -> None:
    from bench.calls import ready
    from bench.harness import Missing

    with pytest.raises(Missing, match="MemoryEngine cannot keep containers ready"):
        async with ready(MemoryEngine(), least=1):
            pass


def test_processes_below_this_one_are_found_and_weighed() -> None:
    script = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as child:
        try:
            while not list(descendants(child.pid)):
                os.sched_yield()
            assert set(descendants()) >= {child.pid, *descendants(child.pid)}
            pss, rss = footprint(child.pid)
            assert 0 < pss <= rss
        finally:
            os.killpg(child.pid, 9)


def test_an_image_of_so_many_files_has_exactly_so_many(tmp_path: Path) -> None:
    write_tar(tmp_path / "image.tar", files=250)
    with tarfile.open(tmp_path / "image.tar") as tar:
        files = [entry for entry in tar if entry.isfile()]
    assert len(files) == 250
    assert files[0].name == "bin/tr"


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    latencies = (Latency(kind="cold", samples=(1.0, 2.5)), Latency(kind="docker", note="no root"))
    points = (Point(kind="ready", callers=4, seconds=0.5, samples=(3.0,), hits=1),)
    write_latencies(tmp_path, latencies, machine=MACHINE)
    write_points(tmp_path, points, machine=MACHINE)
    assert read_latencies(tmp_path) == (latencies, MACHINE)
    assert read_points(tmp_path) == (points, MACHINE)


def test_growth_is_told_in_tables_and_in_json_alike() -> None:
    growth = Growth(
        waiting=(
            Step(count=1, seconds=0.1, pss=4e5, rss=3e6, machine=1e6, caller=26_000_000,
                 calls=(2.0, 4.0, 3.0)),
            Step(count=10, note="not tried: too much"),
        ),
        images=(Sized(files=10, importing=0.1, samples=(9.0, 10.0, 11.0)),),
        points=(
            Point(kind="ready", callers=4, seconds=0.5, samples=(3.0, 5.0), hits=1),
            Point(kind="cold", callers=2, seconds=1, samples=(3.0,)),
            Point(kind="docker", callers=4, note="docker is not installed"),
        ),
    )  # fmt: skip
    text = as_tables(growth)
    assert "0.40 MB" in text
    assert "10 ready: not tried: too much" in text
    assert "docker: docker is not installed" in text
    assert "50 %" in text
    found = json.loads(json.dumps(as_json(growth)))
    assert found["waiting"][0]["call"] == 3.0
    assert found["images"][0]["median"] == 10.0
    assert [entry["callers"] for entry in found["callers"]] == [4, 4]
    assert found["callers"][0]["per_second"] == 4.0
