"""Which ticks are due, which are too late, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.triggers.cron.rows import Claim

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Entry, Schedule

GRACE = 5.0
"""Seconds that a tick may be late without having been missed."""
_COUNTED = 1000
"""Missed ticks that are counted; of more, the rest is passed over at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one schedule now."""

    claims: tuple[Claim, ...]
    """In the order of their ticks."""
    next: float | None
    """Unix seconds; None: never again."""


def plan(schedule: Schedule, entry: Entry, *, now: float) -> Plan:
    """Say what is due between the last tick and now.

    A tick that is at most :data:`GRACE` late is run. Of those that are later the last one is run,
    once, where the schedule's catch-up window holds it; all others were missed.
    """
    late, due, upcoming = _sorted(schedule, entry.last_tick, now=now)
    claims: list[Claim] = []
    caught = late[-1] if late and now - late[-1] <= schedule.catch_up and not due else None
    missed = late[:-1] if caught is not None else late
    if missed:
        claims.append(_claim(entry, missed[-1], status="missed", count=len(missed)))
    if caught is not None:
        claims.append(_claim(entry, caught, cause="catch-up"))
    claims += [_claim(entry, tick) for tick in due]
    return Plan(tuple(claims), upcoming)


def _sorted(
    schedule: Schedule, last: float, *, now: float
) -> tuple[list[float], list[float], float | None]:
    late: list[float] = []
    due: list[float] = []
    tick = schedule.when.after(last)
    while tick is not None and tick <= now:
        if now - tick <= GRACE:
            due.append(tick)
        elif len(late) < _COUNTED:
            late.append(tick)
        else:
            tick = max(tick, now - max(GRACE, schedule.catch_up) - 1.0)
            late[-1] = tick
        tick = schedule.when.after(tick)
    return late, due, tick


def _claim(
    entry: Entry, tick: float, *, cause: str = "time", status: str = "waiting", count: int = 1
) -> Claim:
    return Claim(
        name=entry.definition.name, revision=entry.revision, tick=tick,
        cause=cause, status=status, count=count,  # type: ignore[arg-type]
    )  # fmt: skip
