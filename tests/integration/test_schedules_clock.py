"""The machine's own clock, set while a scheduler waits: a nanosecond ahead."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.require import missing

from wherry.models import Exit
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.model import Definition, Schedule
from wherry.triggers.cron.scheduler import Scheduler
from wherry.triggers.cron.store import ScheduleStore

if TYPE_CHECKING:
    from wherry.triggers.cron.outputs import Write

pytestmark = pytest.mark.root
_SET_OFFSET, _NANOSECONDS = 0x0100, 0x2000
_TIMEX = struct.Struct("=I4x8q2q15q")
"""``struct timex``: what to change, eight fields of others, the time to add, and more of others."""


def set_by_a_nanosecond() -> None:
    """Add so much to the clock: https://man7.org/linux/man-pages/man2/adjtimex.2.html."""
    asked = _TIMEX.pack(_SET_OFFSET | _NANOSECONDS, *[0] * 8, 0, 1, *[0] * 15)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(asked)) < 0:
        number = ctypes.get_errno()
        assert number == errno.EPERM
        missing("leave to set the clock")


async def test_a_wait_ends_when_the_clock_is_set() -> None:
    clock, changed = WallClock(), asyncio.Event()
    try:
        for moment in (clock.now() + 3600, None):
            changed.clear()
            waiting = asyncio.ensure_future(clock.until(moment, changed))
            await asyncio.sleep(0)
            assert not waiting.done()
            set_by_a_nanosecond()
            await asyncio.wait_for(waiting, 20)
            assert changed.is_set()
    finally:
        clock.close()


class Ahead(WallClock):
    """The machine's clock, and so much more."""

    more = 0.0

    def now(self) -> float:
        return super().now() + self.more


async def test_a_scheduler_looks_again_when_the_clock_is_set(tmp_path: Path) -> None:
    ran = asyncio.Event()

    async def do(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        ran.set()
        return Exit(0)

    clock = Ahead()
    async with await ScheduleStore.open(tmp_path) as store:
        scheduler = await Scheduler.open(store, do, clock=clock, kinds=("function",))
        await scheduler.define(
            Definition(name="f", schedule="@every 4h", function="f", catch_up="1h")
        )
        running = asyncio.create_task(scheduler.run())
        await asyncio.sleep(0.05)
        clock.more = 4.1 * 3600
        assert not ran.is_set()
        set_by_a_nanosecond()
        await asyncio.wait_for(ran.wait(), 20)
        running.cancel()
        await asyncio.wait([running])
        await scheduler.aclose()
    clock.close()
