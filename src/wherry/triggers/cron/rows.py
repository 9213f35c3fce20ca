"""The tables of schedules and runs, and every statement about them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from wherry.calls.owners import is_alive
from wherry.errors import EngineUnavailable, NotFound
from wherry.models import new_id
from wherry.triggers.cron.model import Cause, Definition, Entry, Run, Status

VERSION = 1
AHEAD = 3 * 3600.0
"""Seconds: what a last tick may be ahead of the clock, which may have been set back a little."""
_TABLES = """
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    definition BLOB NOT NULL,
    created REAL NOT NULL,
    revision INTEGER NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    last_tick REAL NOT NULL
);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    cause TEXT NOT NULL,
    scheduled REAL NOT NULL,
    status TEXT NOT NULL,
    started REAL,
    ended REAL,
    exit_code INTEGER,
    error TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    count INTEGER NOT NULL DEFAULT 1,
    truncated INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL
);
CREATE INDEX runs_name ON runs (name, number);
CREATE INDEX runs_open ON runs (name, owner) WHERE status IN ('waiting', 'running');
CREATE TABLE outputs (
    number INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    stdout BLOB NOT NULL,
    stderr BLOB NOT NULL
);
CREATE INDEX outputs_name ON outputs (name, number, size);
"""
_OPEN = "status IN ('waiting', 'running')"
_AMONG = "name IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept of the past of each schedule."""

    runs: int = 1000
    output: int = 64 * 1024 * 1024
    """Bytes of all runs together; the last run's output is always kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A tick that is due, or some that are too late."""

    name: str
    revision: int
    tick: float
    cause: Cause = "time"
    status: Literal["waiting", "missed"] = "waiting"
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """A tick that is ours alone."""

    run: Run
    elsewhere: bool
    """Whether another scheduler still runs this schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A tick that is not ours, and how its schedule stands in the store."""

    entry: Entry | None
    """None: it was removed."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many runs of one schedule ended in one way, in one step of time."""

    name: str
    status: Status
    slot: int
    """Steps since the first."""
    count: int


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables where there are none; raises :class:`EngineUnavailable` for later ones."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise EngineUnavailable(
            f"the schedules were written by a later version of wherry (format {version}; this "
            f"one knows {VERSION}): use that one, or another data directory"
        )
    if version == 0:
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")


def put(db: sqlite3.Connection, *, definition: Definition, source: str, now: float) -> Entry:
    """Insert or replace; ticks before now are never made up for a new definition."""
    encoded = msgspec.json.encode(definition)
    row = db.execute(
        "INSERT INTO schedules (name, source, definition, created, revision, last_tick) "
        "VALUES (:name, :source, :definition, :now, 1, :now) ON CONFLICT (name) DO UPDATE SET "
        "source = :source, definition = :definition, revision = revision + 1, "
        "last_tick = iif(definition = :definition, last_tick, max(last_tick, :now)) RETURNING *",
        {"name": definition.name, "source": source, "definition": encoded, "now": now},
    ).fetchone()
    return _entry(row)


def remove(db: sqlite3.Connection, *, name: str) -> bool:
    """Delete a schedule and its past."""
    if not db.execute("DELETE FROM schedules WHERE name = ?", (name,)).rowcount:
        return False
    db.execute("DELETE FROM runs WHERE name = ?", (name,))
    return True


def entries(db: sqlite3.Connection) -> list[Entry]:
    """Return all by name."""
    return [_entry(row) for row in db.execute("SELECT * FROM schedules ORDER BY name")]


def pause(db: sqlite3.Connection, *, name: str, paused: bool, now: float) -> Entry | None:
    """Set whether ticks count; what was due in a pause is not made up for."""
    row = db.execute(
        "UPDATE schedules SET last_tick = iif(paused AND NOT :paused, max(last_tick, :now), "
        "last_tick), paused = :paused WHERE name = :name RETURNING *",
        {"name": name, "paused": paused, "now": now},
    ).fetchone()
    return _entry(row) if row else None


def rewind(db: sqlite3.Connection, *, now: float) -> None:
    """Forget last ticks that are far in the future, and what ``@every`` counts from there."""
    db.execute(
        "UPDATE schedules SET last_tick = :now, created = min(created, :now) "
        "WHERE last_tick > :now + :ahead",
        {"now": now, "ahead": AHEAD},
    )


def claim(
    db: sqlite3.Connection, *, claims: Sequence[Claim], owner: str, owners: Path
) -> list[Won | Lost]:
    """Take each tick unless it, or a later one, was taken; ticks of one schedule in their order.

    The transaction is the only one that writes, so what is read here cannot change before it is
    written. Statements are about all schedules together: many are due in one second.
    """
    found: list[Won | Lost | None] = [None] * len(claims)
    left = dict(enumerate(claims))
    while left:
        first: dict[str, int] = {}
        for place, wanted in left.items():
            first.setdefault(wanted.name, place)
        together = [left.pop(place) for place in first.values()]
        results = _claim(db, together, owner=owner, owners=owners)
        for place, result in zip(first.values(), results, strict=True):
            found[place] = result
    return [each for each in found if each is not None]


def _claim(
    db: sqlite3.Connection, claims: Sequence[Claim], *, owner: str, owners: Path
) -> list[Won | Lost]:
    """Take ticks of as many schedules."""
    asked = json.dumps([wanted.name for wanted in claims])
    standing: dict[str, sqlite3.Row] = {
        row["name"]: row
        for row in db.execute(f"SELECT * FROM schedules WHERE {_AMONG}", (asked,))  # noqa: S608
    }
    ours = [wanted for wanted in claims if _is_open(standing.get(wanted.name), wanted)]
    db.executemany(
        "UPDATE schedules SET last_tick = ? WHERE name = ?",
        [(wanted.tick, wanted.name) for wanted in ours],
    )
    busy = _elsewhere(db, asked, owner=owner, owners=owners)
    runs = {run.name: run for run in _inserted(db, ours, owner=owner)}
    return [
        Won(run=runs[wanted.name], elsewhere=wanted.name in busy)
        if wanted.name in runs
        else Lost(entry=_entry(row) if (row := standing.get(wanted.name)) else None)
        for wanted in claims
    ]


def _is_open(row: sqlite3.Row | None, wanted: Claim) -> bool:
    return (
        row is not None
        and row["revision"] == wanted.revision
        and not row["paused"]
        and row["last_tick"] < wanted.tick
    )


def _elsewhere(db: sqlite3.Connection, names: str, *, owner: str, owners: Path) -> set[str]:
    """Return which schedules a scheduler that lives runs; what dead ones had is over."""
    others = db.execute(
        f"SELECT DISTINCT name, owner FROM runs WHERE {_AMONG} AND owner <> ? AND {_OPEN}",  # noqa: S608
        (names, owner),
    ).fetchall()
    alive = {other: is_alive(owners, other) for other in {other for _, other in others}}
    for other, lives in alive.items():
        if not lives:
            _bury(db, other)
    return {name for name, other in others if alive[other]}


def bury(db: sqlite3.Connection, *, owners: Path) -> None:
    """End the runs of schedulers that are no more."""
    found = db.execute(f"SELECT DISTINCT owner FROM runs WHERE {_OPEN}").fetchall()  # noqa: S608
    for (owner,) in found:
        if not is_alive(owners, owner):
            _bury(db, owner)


def _bury(db: sqlite3.Connection, owner: str) -> None:
    db.execute(  # ended stays unknown
        "UPDATE runs SET status = iif(started IS NULL, 'missed', 'failed'), "  # noqa: S608
        "error = 'the scheduler was killed before this run had ended' "
        f"WHERE owner = ? AND {_OPEN}",
        (owner,),
    )


def begin(db: sqlite3.Connection, *, name: str, cause: Cause, scheduled: float, owner: str) -> Run:
    """Note a run besides the ticks; raises :class:`NotFound`."""
    if db.execute("SELECT 1 FROM schedules WHERE name = ?", (name,)).fetchone() is None:
        raise NotFound(f"there is no schedule {name!r}")
    asked = Claim(name=name, revision=0, tick=scheduled, cause=cause)
    return _inserted(db, [asked], owner=owner)[0]


def _inserted(db: sqlite3.Connection, claims: Sequence[Claim], *, owner: str) -> list[Run]:
    """Note a run for each."""
    (last,) = db.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'runs'"
    ).fetchone()
    made = [
        Run(number=number, id=new_id(), name=wanted.name, cause=wanted.cause,
            scheduled=wanted.tick, status=wanted.status, count=wanted.count)
        for number, wanted in enumerate(claims, last + 1)
    ]  # fmt: skip
    db.executemany(
        "INSERT INTO runs (number, id, name, cause, scheduled, status, count, owner) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(run.number, run.id, run.name, run.cause, run.scheduled, run.status, run.count, owner)
         for run in made],
    )  # fmt: skip
    return made


def update_all(db: sqlite3.Connection, *, runs: Sequence[Run], keep: Retention) -> None:
    """Write several runs down."""
    for each in runs:
        update(db, run=each, keep=keep)


def update(db: sqlite3.Connection, *, run: Run, keep: Retention) -> None:
    """Write a run down, and with its end what it wrote; then forget what is too old."""
    done = db.execute(
        "UPDATE runs SET status = ?, started = ?, ended = ?, exit_code = ?, error = ?, "
        "attempts = ?, truncated = ? WHERE number = ?",
        (run.status, run.started, run.ended, run.exit_code, run.error, run.attempts,
         run.truncated, run.number),
    )  # fmt: skip
    if run.status in ("waiting", "running") or not done.rowcount:
        return
    if run.stdout or run.stderr:
        size = len(run.stdout) + len(run.stderr)
        db.execute(
            "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?)",
            (run.number, run.name, size, run.stdout, run.stderr),
        )
        _prune_output(db, run.name, most=keep.output)
    db.execute(
        f"DELETE FROM runs WHERE name = :name AND NOT {_OPEN} AND number <= (SELECT number "  # noqa: S608
        "FROM runs WHERE name = :name ORDER BY number DESC LIMIT 1 OFFSET :most)",
        {"name": run.name, "most": keep.runs},
    )


def _prune_output(db: sqlite3.Connection, name: str, *, most: int) -> None:
    db.execute(
        "DELETE FROM outputs WHERE number IN (SELECT number FROM (SELECT number, "
        "sum(size) OVER latest AS total, row_number() OVER latest AS place FROM outputs "
        "WHERE name = ? WINDOW latest AS (ORDER BY number DESC)) WHERE total > ? AND place > 1)",
        (name, most),
    )


def runs(
    db: sqlite3.Connection,
    *,
    name: str | None,
    since: float | None,
    before: int | None,
    limit: int,
) -> list[Run]:
    """Return the latest first, without output."""
    found = db.execute(
        "SELECT * FROM runs WHERE (:name IS NULL OR name = :name) AND "
        "(:since IS NULL OR scheduled >= :since) AND (:before IS NULL OR number < :before) "
        "ORDER BY number DESC LIMIT :limit",
        {"name": name, "since": since, "before": before, "limit": limit},
    )
    return [_run(row) for row in found]


def tallies(
    db: sqlite3.Connection, *, names: Sequence[str], since: float, step: float
) -> list[Tally]:
    """Count runs by schedule, status and step of time since a moment."""
    found = db.execute(
        "SELECT name, status, CAST((scheduled - :since) / :step AS INTEGER) AS slot, "
        "sum(count) AS count FROM runs WHERE name IN (SELECT value FROM json_each(:names)) "
        "AND scheduled >= :since GROUP BY name, status, slot",
        {"names": json.dumps(names), "since": since, "step": step},
    )
    return [Tally(*row) for row in found]


def run(db: sqlite3.Connection, *, name: str, id: str) -> Run | None:  # noqa: A002
    """Return one with its output."""
    row = db.execute("SELECT * FROM runs WHERE id = ? AND name = ?", (id, name)).fetchone()
    if row is None:
        return None
    output = db.execute(
        "SELECT stdout, stderr FROM outputs WHERE number = ?", (row["number"],)
    ).fetchone()
    stdout, stderr = output or (b"", b"")
    return _run(row, stdout=stdout, stderr=stderr)


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        definition=msgspec.json.decode(row["definition"], type=Definition),
        source=row["source"],
        created=row["created"],
        revision=row["revision"],
        paused=bool(row["paused"]),
        last_tick=row["last_tick"],
    )


def _run(row: sqlite3.Row, *, stdout: bytes = b"", stderr: bytes = b"") -> Run:
    return Run(
        number=row["number"],
        id=row["id"],
        name=row["name"],
        cause=row["cause"],
        scheduled=row["scheduled"],
        status=row["status"],
        started=row["started"],
        ended=row["ended"],
        exit_code=row["exit_code"],
        error=row["error"],
        attempts=row["attempts"],
        count=row["count"],
        truncated=bool(row["truncated"]),
        stdout=stdout,
        stderr=stderr,
    )
