"""A scheduler in a process of its own: DIRECTORY; says ``NAME TICK`` for each run."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.models import Exit
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.model import Definition, Run, Schedule
from wherry.triggers.cron.scheduler import Scheduler
from wherry.triggers.cron.store import ScheduleStore

if TYPE_CHECKING:
    from wherry.triggers.cron.outputs import Write

SCHEDULES = 20


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def do(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
    return Exit(0)


async def report(schedule: Schedule, run: Run) -> None:
    said = replace(run, stdout=b"", stderr=b"")
    say(f"{said.name} {said.scheduled:.0f} {said.status}")


async def main(directory: Path) -> None:
    clock = WallClock()
    async with await ScheduleStore.open(directory) as store:
        scheduler = await Scheduler.open(store, do, clock=clock, kinds=("function",), report=report)
        for number in range(SCHEDULES):
            definition = Definition(
                name=f"job{number}", schedule="* * * * * *", function="f", overlap="allow"
            )
            await scheduler.define(definition)
        say("ready")
        await scheduler.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
