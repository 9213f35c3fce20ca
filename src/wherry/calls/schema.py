"""The tables of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.errors import EngineUnavailable

if TYPE_CHECKING:
    import sqlite3

VERSION = 1

# `due` and `lease` are seconds of the steady clock, everything else is Unix time. `claims` only
# ever grows: with `owner` it tells one run of a call from every other one.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE calls (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    durable INTEGER NOT NULL,
    name TEXT NOT NULL,
    namespace TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    first_byte REAL,
    ended REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    claims INTEGER NOT NULL DEFAULT 0,
    cancelling INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    exit_code INTEGER,
    exit_reason TEXT,
    error TEXT,
    stdin_bytes INTEGER NOT NULL DEFAULT 0,
    stdout_bytes INTEGER NOT NULL DEFAULT 0,
    stderr BLOB NOT NULL DEFAULT x'',
    result_size INTEGER,
    due REAL,
    due_at REAL,
    owner TEXT,
    lease REAL
);
CREATE UNIQUE INDEX calls_durable ON calls (id) WHERE durable = 1;
CREATE INDEX calls_id ON calls (id);
CREATE INDEX calls_function ON calls (name, namespace, number);
CREATE INDEX calls_due ON calls (due, number, name, namespace, stdin_bytes)
    WHERE state = 'queued';
CREATE INDEX calls_due_of ON calls (name, namespace, due, number) WHERE state = 'queued';
CREATE INDEX calls_running ON calls (owner, lease) WHERE state = 'running';
CREATE INDEX calls_dead ON calls (number) WHERE state = 'dead';
CREATE INDEX calls_ended ON calls (ended, state) WHERE ended IS NOT NULL;

CREATE TABLE requests (
    number INTEGER PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    request BLOB NOT NULL,
    body BLOB,
    file TEXT
);
CREATE INDEX requests_file ON requests (file) WHERE file IS NOT NULL;

CREATE TABLE results (
    number INTEGER PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    ended REAL NOT NULL,
    size INTEGER NOT NULL,
    body BLOB,
    file TEXT
);
CREATE INDEX results_file ON results (file) WHERE file IS NOT NULL;
CREATE INDEX results_ended ON results (ended, number, size);

CREATE TABLE callbacks (
    number INTEGER PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    url TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    claims INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    error TEXT,
    due REAL,
    due_at REAL,
    owner TEXT,
    lease REAL
);
CREATE INDEX callbacks_due ON callbacks (due) WHERE state = 'pending';
"""


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables where there are none, within the transaction that is open.

    Raises :class:`EngineUnavailable` for those of a later version of wherry.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise EngineUnavailable(
            f"the call records were written by a later version of wherry (format {version}; "
            f"this one knows {VERSION}): use that one, or another data directory"
        )
    if version == 0:
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
