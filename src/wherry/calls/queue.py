"""The statements of the queue. Each function is one operation of a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wherry.calls import rows
from wherry.errors import AlreadyExists

if TYPE_CHECKING:
    from wherry.calls.model import CallRecord, QueuedRequest, State
    from wherry.calls.payloads import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """This moment, by both clocks, and who asks."""

    wall: float
    steady: float
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A call that is ours to run, until its lease ends."""

    number: int
    claims: int
    """With the owner: which run of the call this is."""
    request: QueuedRequest
    body: Payload
    created: float
    attempts: int
    """This one included."""
    interruptions: int
    refusals: int

    @property
    def run(self) -> tuple[int, int]:
        """Which run of which call this is."""
        return self.number, self.claims

    @property
    def tries(self) -> int:
        """Runs that were not cut short by the server's end, this one included."""
        return self.attempts - self.interruptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run of a call ended; everything but ``state`` is about that run."""

    state: State
    """``queued``: to be tried again."""
    status: int | None
    error: str | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    started: float | None = None
    first_byte: float | None = None
    ended: float | None = None
    stdout_bytes: int = 0
    stderr: bytes = b""
    delay: float = 0.0
    """Seconds until the next try."""


def insert(
    db: sqlite3.Connection, request: QueuedRequest, *, body: Payload, now: Now
) -> CallRecord:
    """Add a call. Raises :class:`AlreadyExists`."""
    try:
        row = db.execute(
            "INSERT INTO calls (id, durable, name, namespace, trigger, state, created, due,"
            " due_at, stdin_bytes) VALUES (?, 1, ?, ?, 'async', 'queued', ?, ?, ?, ?)"
            " RETURNING *",
            (
                *(request.id, request.name, request.namespace),
                *(now.wall, now.steady, now.wall, body.size),
            ),
        ).fetchone()
    except sqlite3.IntegrityError as error:
        raise AlreadyExists(
            f"there already is a queued call {request.id!r}: choose another X-Call-Id, or none"
        ) from error
    db.execute(
        "INSERT INTO requests (number, request, body, file) VALUES (?, ?, ?, ?)",
        (row["number"], rows.pack(request), body.data, body.file),
    )
    return rows.record(row)


def claim(
    db: sqlite3.Connection, now: Now, *, lease: float, most: int, places: Mapping[str, int]
) -> list[Claimed]:
    """Take up to ``most`` calls that are due, the oldest first.

    ``places`` are functions that take no more than so many calls now; others take any number.
    """
    bound = {"now": now.steady, "wall": now.wall, "owner": now.owner, "lease": now.steady + lease}
    taken: list[sqlite3.Row] = []
    for qualified, free in places.items():
        if (count := min(free, most - len(taken))) > 0:
            name, _, namespace = qualified.rpartition(".")
            which = "name = :name AND namespace = :namespace AND"
            taken += _claim(
                db, which, {**bound, "most": count, "name": name, "namespace": namespace}
            )
    if most > len(taken):
        which = "name || '.' || namespace NOT IN (SELECT value FROM json_each(:limited)) AND"
        limited = json.dumps(list(places))
        taken += _claim(db, which, {**bound, "most": most - len(taken), "limited": limited})
    return [_claimed(db, row) for row in sorted(taken, key=lambda row: (row["due"], row["number"]))]


def next_due(db: sqlite3.Connection, now: Now) -> float | None:
    """Return the seconds until another call is due, None when there is none."""
    (due,) = db.execute(
        "SELECT min(due) FROM calls WHERE state = 'queued' AND due > ?", (now.steady,)
    ).fetchone()
    return None if due is None else due - now.steady


def _claim(db: sqlite3.Connection, which: str, bound: Mapping[str, object]) -> list[sqlite3.Row]:
    return db.execute(
        "UPDATE calls SET state = 'running', owner = :owner, lease = :lease, started = :wall,"  # noqa: S608
        " first_byte = NULL, attempts = attempts + 1, claims = claims + 1"
        f" WHERE number IN (SELECT number FROM calls WHERE {which} state = 'queued'"
        " AND due <= :now ORDER BY due, number LIMIT :most)"
        " RETURNING number, id, name, namespace, claims, created, due, attempts, interruptions,"
        " refusals, stdin_bytes",
        dict(bound),
    ).fetchall()


def _claimed(db: sqlite3.Connection, row: sqlite3.Row) -> Claimed:
    stored = db.execute(
        "SELECT request, body, file FROM requests WHERE number = ?", (row["number"],)
    ).fetchone()
    return Claimed(
        number=row["number"],
        claims=row["claims"],
        request=rows.unpack(
            stored["request"], id=row["id"], name=row["name"], namespace=row["namespace"]
        ),
        body=rows.payload(stored, size=row["stdin_bytes"]),
        created=row["created"],
        attempts=row["attempts"],
        interruptions=row["interruptions"],
        refusals=row["refusals"],
    )


def renew(db: sqlite3.Connection, now: Now, *, lease: float) -> dict[tuple[int, int], bool]:
    """Prolong all leases of the owner; return whether each run is asked to end."""
    found = db.execute(
        "UPDATE calls SET lease = ? WHERE state = 'running' AND owner = ?"
        " RETURNING number, claims, cancelling",
        (now.steady + lease, now.owner),
    ).fetchall()
    return {(row["number"], row["claims"]): bool(row["cancelling"]) for row in found}


_OURS = "number = ? AND state = 'running' AND owner = ? AND claims = ?"


def _ours(claimed: Claimed, now: Now) -> tuple[int, str, int]:
    return claimed.number, now.owner, claimed.claims


def give_back(
    db: sqlite3.Connection, claimed: Claimed, *, now: Now, delay: float, refused: bool
) -> None:
    """Put a call back that did not begin: nothing of it counts."""
    db.execute(
        "UPDATE calls SET refusals = refusals + ?,"  # noqa: S608
        " due = CASE WHEN ? > 0 THEN ? ELSE due END,"
        " due_at = CASE WHEN ? > 0 THEN ? ELSE due_at END"
        f" WHERE {_OURS}",
        (
            *(int(refused), delay, now.steady + delay, delay, now.wall + delay),
            *_ours(claimed, now),
        ),
    )
    _requeue(db, _OURS, _ours(claimed, now), now=now, interrupted=0)


def give_back_all(db: sqlite3.Connection, now: Now) -> int:
    """Put everything back that the owner had begun; return how many calls these were."""
    _untell(db, now.owner)
    return _requeue(db, "state = 'running' AND owner = ?", (now.owner,), now=now, interrupted=0)


def finish(
    db: sqlite3.Connection, claimed: Claimed, *, ending: Ending, result: Payload | None, now: Now
) -> Finished:
    """Write the end of a run, unless the run is not ours any more."""
    row = db.execute(
        "UPDATE calls SET state = CASE WHEN cancelling AND :state = 'queued' THEN 'cancelled'"  # noqa: S608
        " ELSE :state END, ended = CASE WHEN cancelling OR :state != 'queued' THEN :ended END,"
        " status = :status, error = :error, exit_code = :exit_code, exit_reason = :exit_reason,"
        " started = coalesce(:started, started), first_byte = :first_byte,"
        " stdout_bytes = :stdout_bytes, stderr = :stderr, result_size = :size, due = :due,"
        " due_at = :due_at, owner = NULL, lease = NULL, cancelling = 0"
        f" WHERE {_OURS_NAMED} RETURNING state",
        {
            **{name: getattr(ending, name) for name in _OF_ENDING},
            "size": result.size if result else None,
            "due": now.steady + ending.delay,
            "due_at": now.wall + ending.delay,
            "number": claimed.number,
            "owner": now.owner,
            "claims": claimed.claims,
        },
    ).fetchone()
    if row is None:
        return Finished(False, (result.file,) if result and result.file else ())
    unused = _replace_result(db, claimed.number, result, now)
    if row["state"] == "done":
        unused += drop_requests(db, [claimed.number])
    if row["state"] != "queued" and claimed.request.callback:
        tell(db, claimed.number, url=claimed.request.callback, now=now)
    return Finished(True, tuple(unused))


_OURS_NAMED = "number = :number AND state = 'running' AND owner = :owner AND claims = :claims"
_OF_ENDING = (
    *("state", "ended", "status", "error", "exit_code", "exit_reason", "started", "first_byte"),
    *("stdout_bytes", "stderr"),
)


@dataclass(frozen=True, slots=True)
class Finished:
    """Whether the end was written, and files that no record names now."""

    written: bool
    unused: tuple[str, ...] = ()


def _replace_result(
    db: sqlite3.Connection, number: int, result: Payload | None, now: Now
) -> list[str]:
    unused = drop_results(db, [number])
    if result is not None:
        db.execute(
            "INSERT INTO results (number, ended, size, body, file) VALUES (?, ?, ?, ?, ?)",
            (number, now.wall, result.size, result.data, result.file),
        )
    return unused


def drop_results(db: sqlite3.Connection, numbers: Collection[int]) -> list[str]:
    """Forget results, and return the files they were in."""
    return _drop(db, "results", numbers)


def drop_requests(db: sqlite3.Connection, numbers: Collection[int]) -> list[str]:
    """Forget requests, and return the files of their bodies."""
    return _drop(db, "requests", numbers)


def _drop(db: sqlite3.Connection, table: str, numbers: Iterable[int]) -> list[str]:
    found = db.execute(
        f"DELETE FROM {table} WHERE number IN (SELECT value FROM json_each(?)) RETURNING file",  # noqa: S608
        (json.dumps(list(numbers)),),
    ).fetchall()
    return [row["file"] for row in found if row["file"] is not None]


def tell(db: sqlite3.Connection, number: int, *, url: str, now: Now) -> None:
    """Ask for a result to be told, from now on."""
    db.execute(
        "INSERT OR REPLACE INTO callbacks (number, url, due, due_at) VALUES (?, ?, ?, ?)",
        (number, url, now.steady, now.wall),
    )


def tell_if_asked(db: sqlite3.Connection, number: int, *, now: Now) -> None:
    """Ask for a result to be told if the call's request names somebody."""
    row = db.execute("SELECT request FROM requests WHERE number = ?", (number,)).fetchone()
    if row is not None and (url := rows.callback_of(row["request"])):
        tell(db, number, url=url, now=now)


# ---- owners that are gone ------------------------------------------------------------------


def owners(db: sqlite3.Connection) -> set[str]:
    """Return everybody who runs a call or delivers a result."""
    found = db.execute(
        "SELECT DISTINCT owner FROM calls WHERE state = 'running' UNION"
        " SELECT DISTINCT owner FROM callbacks WHERE state = 'pending' AND owner IS NOT NULL"
    ).fetchall()
    return {row["owner"] for row in found}


def reclaim(db: sqlite3.Connection, owner: str, *, now: Now) -> int:
    """Queue anew what a dead owner ran; return how many calls these were."""
    _untell(db, owner)
    return _requeue(db, "state = 'running' AND owner = ?", (owner,), now=now, interrupted=1)


def _untell(db: sqlite3.Connection, owner: str) -> None:
    db.execute(
        "UPDATE callbacks SET owner = NULL, lease = NULL WHERE state = 'pending' AND owner = ?",
        (owner,),
    )


def reclaim_expired(db: sqlite3.Connection, now: Now) -> int:
    """Queue anew what others run and did not renew in time; return how many calls these were."""
    db.execute(
        "UPDATE callbacks SET owner = NULL, lease = NULL WHERE state = 'pending' AND lease < ?",
        (now.steady,),
    )
    late = "state = 'running' AND lease < ? AND owner != ?"
    return _requeue(db, late, (now.steady, now.owner), now=now, interrupted=1)


def _requeue(
    db: sqlite3.Connection,
    which: str,
    bound: tuple[object, ...],
    *,
    now: Now,
    interrupted: Literal[0, 1],
) -> int:
    """Queue running calls again at their old place, or end those that were asked to end."""
    found = db.execute(
        "UPDATE calls SET state = CASE WHEN cancelling THEN 'cancelled' ELSE 'queued' END,"  # noqa: S608
        " ended = CASE WHEN cancelling THEN ? END, cancelling = 0, owner = NULL, lease = NULL,"
        " started = NULL, interruptions = interruptions + ?, attempts = attempts - 1 + ?"
        f" WHERE {which} RETURNING number, state",
        (now.wall, interrupted, interrupted, *bound),
    ).fetchall()
    for row in found:
        if row["state"] == "cancelled":
            tell_if_asked(db, row["number"], now=now)
    return len(found)


def rebase(db: sqlite3.Connection, now: Now, *, boot: str, longest: float) -> None:
    """Bring delays over from the steady clock of an earlier boot to that of this one.

    What the wall clock says is trusted up to ``longest`` seconds.
    """
    known = db.execute("SELECT value FROM meta WHERE key = 'boot'").fetchone()
    if known is not None and known["value"] == boot:
        return
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('boot', ?)", (boot,))
    bound = (now.steady, now.wall, longest)
    db.execute("UPDATE calls SET due = ? + min(due_at - ?, ?) WHERE state = 'queued'", bound)
    db.execute("UPDATE callbacks SET due = ? + min(due_at - ?, ?) WHERE state = 'pending'", bound)
    db.execute("UPDATE calls SET lease = 0 WHERE state = 'running'")
