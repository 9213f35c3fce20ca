"""Looking calls up, and the orders that somebody gives about one. Operations of a transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.calls import queue, rows
from wherry.calls.model import CallRecord, QueueStats, State
from wherry.errors import Conflict, NotFound

if TYPE_CHECKING:
    from wherry.calls.payloads import Payload
    from wherry.calls.queue import Now
    from wherry.service.call import Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which calls are asked for; None: all of them."""

    name: str | None = None
    namespace: str | None = None
    state: State | None = None
    trigger: Trigger | None = None

    def admits(self, record: CallRecord) -> bool:
        """Return whether a call is one of them."""
        return all(wanted == getattr(record, key) for key, wanted in self.given().items())

    def given(self) -> dict[str, str]:
        """Return what is asked for, by column."""
        wanted = {
            "name": self.name,
            "namespace": self.namespace,
            "state": self.state,
            "trigger": self.trigger,
        }
        return {key: value for key, value in wanted.items() if value is not None}


def get(db: sqlite3.Connection, *, id: str) -> CallRecord | None:  # noqa: A002 - what it is
    """Return the queued call of that id, else the latest one."""
    row = db.execute(
        f"{rows.SELECT}, calls.stderr {rows.FROM} WHERE calls.id = ?"
        " ORDER BY calls.durable DESC, calls.number DESC LIMIT 1",
        (id,),
    ).fetchone()
    return None if row is None else rows.record(row)


def page(
    db: sqlite3.Connection, *, wanted: Filter, before: int | None, limit: int
) -> list[CallRecord]:
    """Return up to ``limit`` calls, the latest first."""
    bound: dict[str, object] = {**wanted.given(), "limit": limit}
    conditions = [f"calls.{key} = :{key}" for key in wanted.given()]
    if before is not None:
        conditions.append("calls.number < :before")
        bound["before"] = before
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    found = db.execute(
        f"{rows.SELECT} {rows.FROM} {where} ORDER BY calls.number DESC LIMIT :limit",
        bound,
    ).fetchall()
    return [rows.record(row) for row in found]


def result(db: sqlite3.Connection, *, number: int) -> Payload | None:
    """Return the result of a call, where it is kept."""
    row = db.execute("SELECT size, body, file FROM results WHERE number = ?", (number,)).fetchone()
    return None if row is None else rows.payload(row, size=row["size"])


def cancel(db: sqlite3.Connection, *, id: str, now: Now) -> int:  # noqa: A002 - what it is
    """End a queued call, or ask a running one to end; return its number."""
    row = _durable(db, id)
    number: int = row["number"]
    if row["state"] == "queued":
        db.execute(
            "UPDATE calls SET state = 'cancelled', ended = ?, status = NULL WHERE number = ?",
            (now.wall, number),
        )
        queue.tell_if_asked(db, number, now=now)
    elif row["state"] == "running":
        db.execute("UPDATE calls SET cancelling = 1 WHERE number = ?", (number,))
    else:
        raise Conflict(f"call {id!r} has ended: it is {row['state']}, and cannot be cancelled")
    return number


def retry(db: sqlite3.Connection, *, id: str, now: Now) -> list[str]:  # noqa: A002 - what it is
    """Queue a dead or cancelled call anew; return files that no record names now."""
    row = _durable(db, id)
    if row["state"] not in {"dead", "cancelled"}:
        raise Conflict(
            f"call {id!r} is {row['state']}: only dead and cancelled calls can be tried again"
        )
    db.execute(
        "UPDATE calls SET state = 'queued', due = ?, due_at = ?, ended = NULL, started = NULL,"
        " first_byte = NULL, status = NULL, exit_code = NULL, exit_reason = NULL, error = NULL,"
        " attempts = 0, interruptions = 0, refusals = 0, stdout_bytes = 0, stderr = x'',"
        " result_size = NULL, cancelling = 0 WHERE number = ?",
        (now.steady, now.wall, row["number"]),
    )
    db.execute("DELETE FROM callbacks WHERE number = ?", (row["number"],))
    return queue.drop_results(db, [row["number"]])


def _durable(db: sqlite3.Connection, id: str) -> sqlite3.Row:  # noqa: A002 - what it is
    row: sqlite3.Row | None = db.execute(
        "SELECT number, state FROM calls WHERE id = ? AND durable = 1", (id,)
    ).fetchone()
    if row is not None:
        return row
    if db.execute("SELECT 1 FROM calls WHERE id = ?", (id,)).fetchone():
        raise Conflict(f"call {id!r} was not queued: somebody waited for it")
    raise NotFound(f"there is no queued call {id!r}; records are kept for a limited time")


def stats(db: sqlite3.Connection, *, now: Now, dropped: int) -> QueueStats:
    """Count."""

    def one(statement: str) -> int | float | None:
        value: int | float | None = db.execute(statement).fetchone()[0]
        return value

    oldest = one("SELECT min(due) FROM calls WHERE state = 'queued'")
    waits = oldest is not None and oldest <= now.steady
    return QueueStats(
        queued=int(one("SELECT count(*) FROM calls WHERE state = 'queued'") or 0),
        running=int(one("SELECT count(*) FROM calls WHERE state = 'running'") or 0),
        dead=int(one("SELECT count(*) FROM calls WHERE state = 'dead'") or 0),
        callbacks=int(one("SELECT count(*) FROM callbacks WHERE state = 'pending'") or 0),
        oldest=now.steady - oldest if oldest is not None and waits else None,
        dropped=dropped,
    )
