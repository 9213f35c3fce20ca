"""What ready containers cost while they wait: `python -m bench.growth.waiting DATA COUNT`.

A process of its own for each number of containers: its memory is that of the caller alone, and
all processes below it are the containers'. Prints one :class:`Step` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.calls import NoneReady, ready, timed
from bench.memory import available, descendants, footprint, resident

if TYPE_CHECKING:
    from bench.calls import ReadyCalls

COUNTS = (1, 10, 100, 1000)
SHARE = 0.5
"""Of the memory that is available: what the next step may be expected to take."""
LONGEST = 60.0
"""Seconds that one step may take to make its containers."""
_CALLS = 20
_CALM = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The cost of so many ready containers. Bytes are per container but for ``caller``."""

    count: int
    seconds: float | None = None
    """To make them all, one after the other."""
    pss: float | None = None
    rss: float | None = None
    machine: float | None = None
    """What the machine has less in all, the kernel's part included."""
    processes: float | None = None
    caller: int | None = None
    """RSS of the Python process that holds them."""
    calls: tuple[float, ...] = ()
    """Milliseconds of calls that found their container while all waited."""
    note: str = ""

    @property
    def call(self) -> float | None:
        return statistics.median(self.calls) if self.calls else None


def growing(data: Path, *, counts: tuple[int, ...] = COUNTS) -> Iterator[Step]:
    """Measure step after step, and stop before one that memory is too small for."""
    last: Step | None = None
    for count in counts:
        if note := too_much(count, last=last, available=available()):
            yield Step(count=count, note=note)
            return
        last = measured(data, count)
        yield last


def too_much(count: int, *, last: Step | None, available: int) -> str:
    """Say why so many should not be made, judging by the step before; nothing when they may."""
    if last is None:
        return ""
    if last.pss is None:
        return f"not tried, because of {last.count}: {last.note}"
    # One container alone says little of the machine, where everybody else comes and goes.
    machine = last.machine if last.machine and last.count >= 10 else 0
    expected = count * max(last.pss, machine)
    if expected <= available * SHARE:
        return ""
    return f"not tried: about {expected / 1e6:.0f} MB of {available / 1e6:.0f} MB available"


def measured(data: Path, count: int) -> Step:
    """Measure one step in a process of its own."""
    command = [sys.executable, "-m", "bench.growth.waiting", str(data), str(count)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Step(count=count, note=f"{last} (exit code {done.returncode})")
    fields = json.loads(done.stdout)
    return Step(**fields | {"calls": tuple(fields["calls"])})


async def measure(data: str, count: int) -> Step:
    from wherry.engines.local.engine import LocalEngine

    before, began = available(), time.perf_counter()
    async with asyncio.timeout(LONGEST) as limit:
        async with ready(LocalEngine.connect(f"local:{data}"), least=count) as calls:
            limit.reschedule(None)
            seconds = time.perf_counter() - began
            if calls.stats.ready < count:
                return Step(count=count, note=f"only {calls.stats.ready} could be made")
            caller, machine = resident("VmRSS"), before - available()
            processes = list(descendants())
            try:
                sizes = [footprint(pid) for pid in processes]
            except PermissionError:
                return Step(count=count, note="this user may not read the memory of sandboxes")
            return Step(
                count=count,
                seconds=seconds,
                pss=sum(pss for pss, _ in sizes) / count,
                rss=sum(rss for _, rss in sizes) / count,
                machine=machine / count,
                processes=len(processes) / count,
                caller=caller,
                calls=tuple(await ready_calls(calls)),
            )


async def ready_calls(calls: ReadyCalls) -> list[float]:
    """Return the milliseconds of calls, each after the one before has been replaced."""
    took: list[float] = []
    for _ in range(_CALLS):
        await asyncio.sleep(_CALM)
        with suppress(NoneReady):
            took.append(await timed(calls.ready_call))
    return took


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a container takes several
    try:
        step = asyncio.run(measure(sys.argv[1], int(sys.argv[2])))
    except TimeoutError:
        step = Step(count=int(sys.argv[2]), note=f"not made within {LONGEST:g} s")
    sys.stdout.write(json.dumps(asdict(step)))


if __name__ == "__main__":
    main()
