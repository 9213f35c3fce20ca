"""Which ticks of a schedule are due now, and which are too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.triggers.cron.rows import Claim

if TYPE_CHECKING:
    from wherry.triggers.cron.book import Known
    from wherry.triggers.cron.model import Cause, Entry, Schedule

GRACE = 5.0
"""Seconds that a tick may be late without having been missed."""
_COUNTED = 1000
"""Missed ticks that are counted; of more, the rest is passed over at once."""


def plan(known: Known, *, now: float) -> tuple[Claim, ...]:
    """Return what is due from the next tick on, in the order of their ticks.

    The first tick that is at most :data:`GRACE` late is run; those after it are for the next
    look, so that nobody waits until they are worked out. Of those that are later the last one is
    run, once, where the schedule's catch-up window holds it; all others were missed.
    """
    schedule, entry = known.schedule, known.entry
    late, due = _sorted(schedule, known.next, now=now)
    if due is not None and not late:
        return (_claim(entry, due),)
    claims: list[Claim] = []
    caught = late[-1] if late and now - late[-1] <= schedule.catch_up and due is None else None
    missed = late[:-1] if caught is not None else late
    if missed:
        claims.append(
            Claim(name=entry.definition.name, revision=entry.revision, tick=missed[-1],
                  status="missed", count=len(missed))
        )  # fmt: skip
    if caught is not None:
        claims.append(_claim(entry, caught, cause="catch-up"))
    if due is not None:
        claims.append(_claim(entry, due))
    return tuple(claims)


def _sorted(
    schedule: Schedule, tick: float | None, *, now: float
) -> tuple[list[float], float | None]:
    """Return the ticks that are too late, and the first of those that are not."""
    late: list[float] = []
    while tick is not None and tick <= now:
        if now - tick <= GRACE:
            return late, tick
        if len(late) < _COUNTED:
            late.append(tick)
        else:
            tick = max(tick, now - max(GRACE, schedule.catch_up) - 1.0)
            late[-1] = tick
        tick = schedule.when.after(tick)
    return late, None


def _claim(entry: Entry, tick: float, *, cause: Cause = "time") -> Claim:
    name = entry.definition.name
    return Claim(name=name, revision=entry.revision, tick=tick, cause=cause)
