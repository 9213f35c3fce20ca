"""Giving up what is old: results, records, and calls that nobody asked for again."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from wherry.calls import queue

if TYPE_CHECKING:
    from wherry.calls.model import QueueLimits
    from wherry.calls.queue import Now
    from wherry.calls.store import CallStore

_AT_ONCE = 500
"""Calls of one transaction, so that nobody waits long for the writer."""
_UNTOLD = "number IN (SELECT number FROM callbacks WHERE state = 'pending')"


async def sweep(store: CallStore) -> int:
    """Give up what the limits do not keep; return how many records and results that were."""
    total = 0
    for operation in (_old_results, _large_results, _old_records, _many_records):
        while True:
            bound = partial(operation, now=store.now(), limits=store.limits)
            count, unused = await store.database.write(bound)
            await store.files.remove(unused)
            total += count
            if count < _AT_ONCE:
                break
    return total


def _old_results(db: sqlite3.Connection, *, now: Now, limits: QueueLimits) -> tuple[int, list[str]]:
    found = db.execute(
        f"SELECT number FROM results WHERE ended < ? AND NOT {_UNTOLD}"  # noqa: S608 - our own
        " ORDER BY ended LIMIT ?",
        (now.wall - limits.keep_results, _AT_ONCE),
    ).fetchall()
    return _forget_results(db, [row["number"] for row in found])


def _large_results(
    db: sqlite3.Connection, *, now: Now, limits: QueueLimits
) -> tuple[int, list[str]]:
    (total,) = db.execute("SELECT coalesce(sum(size), 0) FROM results").fetchone()
    excess = total - limits.keep_result_bytes
    numbers: list[int] = []
    rows = db.execute(
        f"SELECT number, size FROM results WHERE NOT {_UNTOLD} ORDER BY ended, number"  # noqa: S608
    )
    for row in rows:
        if excess <= 0 or len(numbers) == _AT_ONCE:
            break
        numbers.append(row["number"])
        excess -= row["size"]
    rows.close()
    return _forget_results(db, numbers)


def _old_records(db: sqlite3.Connection, *, now: Now, limits: QueueLimits) -> tuple[int, list[str]]:
    dead, other = now.wall - limits.keep_dead, now.wall - limits.keep_records
    found = db.execute(
        "SELECT number FROM calls WHERE ended IS NOT NULL AND ended < ? AND ended <"  # noqa: S608
        " CASE WHEN durable = 1 AND state IN ('dead', 'cancelled') THEN ? ELSE ? END"
        f" AND NOT {_UNTOLD} ORDER BY ended LIMIT ?",
        (max(dead, other), dead, other, _AT_ONCE),
    ).fetchall()
    return _forget_calls(db, [row["number"] for row in found])


def _many_records(
    db: sqlite3.Connection, *, now: Now, limits: QueueLimits
) -> tuple[int, list[str]]:
    (count,) = db.execute("SELECT count(*) FROM calls WHERE ended IS NOT NULL").fetchone()
    if count <= limits.max_records:
        return 0, []
    found = db.execute(
        f"SELECT number FROM calls WHERE ended IS NOT NULL AND NOT {_UNTOLD}"  # noqa: S608
        " AND NOT (durable = 1 AND state = 'dead') ORDER BY ended LIMIT ?",
        (min(_AT_ONCE, count - limits.max_records),),
    ).fetchall()
    return _forget_calls(db, [row["number"] for row in found])


def _forget_results(db: sqlite3.Connection, numbers: list[int]) -> tuple[int, list[str]]:
    unused = queue.drop_results(db, numbers)
    db.executemany(
        "UPDATE calls SET result_size = NULL WHERE number = ?", [(number,) for number in numbers]
    )
    return len(numbers), unused


def _forget_calls(db: sqlite3.Connection, numbers: list[int]) -> tuple[int, list[str]]:
    unused = queue.drop_results(db, numbers) + queue.drop_requests(db, numbers)
    db.executemany("DELETE FROM calls WHERE number = ?", [(number,) for number in numbers])
    return len(numbers), unused
