"""The statements of callbacks. Each function is one operation of a transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.calls import rows
from wherry.calls.payloads import Payload

if TYPE_CHECKING:
    from wherry.calls.model import CallRecord
    from wherry.calls.queue import Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A result that is ours to tell, until its lease ends."""

    record: CallRecord
    url: str
    result: Payload
    attempts: int
    """This one included."""
    claims: int


def claim(db: sqlite3.Connection, now: Now, *, lease: float, most: int) -> list[Due]:
    """Take up to ``most`` callbacks that are due."""
    taken = db.execute(
        "UPDATE callbacks SET owner = :owner, lease = :lease, attempts = attempts + 1,"
        " claims = claims + 1 WHERE number IN (SELECT number FROM callbacks"
        " WHERE state = 'pending' AND owner IS NULL AND due <= :now ORDER BY due LIMIT :most)"
        " RETURNING number, url, attempts, claims",
        {"owner": now.owner, "lease": now.steady + lease, "now": now.steady, "most": most},
    ).fetchall()
    return [_due(db, row) for row in taken]


def _due(db: sqlite3.Connection, row: sqlite3.Row) -> Due:
    call = db.execute("SELECT * FROM calls WHERE number = ?", (row["number"],)).fetchone()
    result = db.execute(
        "SELECT size, body, file FROM results WHERE number = ?", (row["number"],)
    ).fetchone()
    return Due(
        record=rows.record(call),
        url=row["url"],
        result=rows.payload(result, size=result["size"]) if result else Payload(0, data=b""),
        attempts=row["attempts"],
        claims=row["claims"],
    )


def next_due(db: sqlite3.Connection, now: Now) -> float | None:
    """Return the seconds until a callback is due that nobody delivers, None when there is none."""
    (due,) = db.execute(
        "SELECT min(due) FROM callbacks WHERE state = 'pending' AND owner IS NULL"
    ).fetchone()
    return None if due is None else max(0.0, due - now.steady)


_OURS = "number = ? AND state = 'pending' AND owner = ? AND claims = ?"


def delivered(db: sqlite3.Connection, due: Due, *, now: Now, status: int) -> None:
    """Note that somebody was told."""
    db.execute(
        "UPDATE callbacks SET state = 'delivered', status = ?, error = NULL, owner = NULL,"  # noqa: S608
        f" lease = NULL WHERE {_OURS}",
        (status, due.record.number, now.owner, due.claims),
    )


def not_delivered(
    db: sqlite3.Connection,
    due: Due,
    *,
    now: Now,
    status: int | None,
    error: str,
    delay: float | None,
) -> None:
    """Note that nobody was told, to be tried again in ``delay`` seconds; None: never."""
    later = delay or 0.0
    db.execute(
        "UPDATE callbacks SET state = ?, status = ?, error = ?, due = ?, due_at = ?, owner = NULL,"  # noqa: S608
        f" lease = NULL WHERE {_OURS}",
        (
            *("failed" if delay is None else "pending", status, error),
            *(now.steady + later, now.wall + later),
            *(due.record.number, now.owner, due.claims),
        ),
    )
