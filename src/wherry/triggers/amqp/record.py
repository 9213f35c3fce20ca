"""What became of messages that have an id, and those whose delivery was settled before their end.

SQLite, one file per state directory; several dispatchers of one machine may share it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wherry.calls.database import Database
from wherry.images.locks import acquire

if TYPE_CHECKING:
    from wherry.triggers.amqp.outcome import Fate

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
    queue TEXT NOT NULL, id TEXT NOT NULL, fate TEXT NOT NULL, result TEXT NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL, PRIMARY KEY (queue, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outcomes_by_age ON outcomes (at);
CREATE TABLE IF NOT EXISTS held (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, queue TEXT NOT NULL, body BLOB NOT NULL,
    properties TEXT NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
    queue TEXT NOT NULL, key TEXT NOT NULL, count INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;
"""
KEPT = 7 * 24 * 3600.0
"""Seconds that an outcome is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A message that has had its outcome."""

    fate: Fate
    result: dict[str, Any]
    settled: bool
    """Whether all that follows from it was done: the reply, the dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A message of which only this record knows."""

    key: str
    queue: str
    """As everywhere here: :attr:`wherry.triggers.amqp.options.DispatchOptions.place`."""
    body: bytes
    properties: dict[str, Any]


class Record:
    """Remembers outcomes; an ``async with`` block."""

    def __init__(self, db: Database, *, owner: str, lock: int, directory: Path) -> None:
        self._db = db
        self._owner = owner
        self._lock = lock
        self._directory = directory

    @classmethod
    async def open(cls, directory: Path) -> Self:
        """Open the record of a directory, which is made when it is missing."""
        owner = os.urandom(8).hex()
        lock = await asyncio.to_thread(_own, directory, owner)
        db = await Database.open(directory / "messages.db")
        made = cls(db, owner=owner, lock=lock, directory=directory)
        await db.write(_prepare)
        return made

    async def aclose(self) -> None:
        """Close it. Idempotent."""
        await self._db.aclose()
        if self._lock >= 0:
            os.close(self._lock)
            (self._directory / f"owner-{self._owner}").unlink(missing_ok=True)
            self._lock = -1

    async def find(self, queue: str, message_id: str) -> Known | None:
        """Return what became of a message, and count that it was asked for again."""

        def look(db: sqlite3.Connection) -> sqlite3.Row | None:
            row: sqlite3.Row | None = db.execute(
                "SELECT fate, result, settled FROM outcomes WHERE queue = ? AND id = ?",
                (queue, message_id),
            ).fetchone()
            return row

        row = self._db.peek(look)
        if row is None:
            return None
        await self._execute(
            "UPDATE outcomes SET duplicates = duplicates + 1 WHERE queue = ? AND id = ?",
            queue, message_id,
        )  # fmt: skip
        return Known(
            fate=row["fate"], result=json.loads(row["result"]), settled=bool(row["settled"])
        )

    async def decide(self, queue: str, message_id: str, *, fate: Fate, result: str) -> None:
        """Remember an outcome, before anything follows from it."""
        await self._execute(
            "INSERT OR REPLACE INTO outcomes (queue, id, fate, result, at) VALUES (?, ?, ?, ?, ?)",
            queue, message_id, fate, result, time.time(),
        )  # fmt: skip

    async def settle(self, queue: str, message_id: str) -> None:
        """Remember that everything has followed."""
        await self._execute(
            "UPDATE outcomes SET settled = 1 WHERE queue = ? AND id = ?", queue, message_id
        )

    async def delivered(self, queue: str, key: str) -> int:
        """Count one more delivery of a message that was delivered before, and return how many."""

        def count(db: sqlite3.Connection) -> int:
            row = db.execute(
                "INSERT INTO deliveries VALUES (?, ?, 1, ?) ON CONFLICT (queue, key) DO UPDATE "
                "SET count = count + 1, at = excluded.at RETURNING count",
                (queue, key, time.time()),
            ).fetchone()
            return int(row[0])

        return await self._db.write(count)

    async def forget_deliveries(self, queue: str, key: str) -> None:
        """Count from the beginning: the message has had its outcome."""
        await self._execute("DELETE FROM deliveries WHERE queue = ? AND key = ?", queue, key)

    async def hold(self, held: Held) -> None:
        """Keep a message that the broker is about to forget."""
        await self._execute(
            "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)",
            held.key, self._owner, held.queue, held.body, json.dumps(held.properties), time.time(),
        )  # fmt: skip

    async def release(self, key: str) -> None:
        """Forget a message that was held."""
        await self._execute("DELETE FROM held WHERE key = ?", key)

    async def orphans(self, queue: str) -> list[Held]:
        """Return what dispatchers held that are gone; from now on it is ours."""
        rows = await self._db.read(
            lambda db: db.execute("SELECT * FROM held WHERE queue = ?", (queue,)).fetchall()
        )
        found = []
        for row in rows:
            if row["owner"] != self._owner and _is_gone(self._directory / f"owner-{row['owner']}"):
                properties = json.loads(row["properties"])
                found.append(
                    Held(key=row["key"], queue=queue, body=row["body"], properties=properties)
                )
        return found

    async def forsaken(self, queues: Collection[str]) -> Mapping[str, int]:
        """Return how many messages are held for other queues, by dispatchers that are gone."""
        rows = await self._db.read(
            lambda db: db.execute(
                "SELECT queue, owner, COUNT(*) FROM held GROUP BY 1, 2"
            ).fetchall()
        )
        found: Counter[str] = Counter()
        for queue, owner, count in rows:
            if queue not in queues and _is_gone(self._directory / f"owner-{owner}"):
                found[queue] += count
        return found

    async def duplicates(self, queue: str) -> int:
        """Return how many deliveries were answered from here."""
        row = await self._db.read(
            lambda db: db.execute(
                "SELECT COALESCE(SUM(duplicates), 0) FROM outcomes WHERE queue = ?", (queue,)
            ).fetchone()
        )
        return int(row[0])

    async def _execute(self, statement: str, *values: object) -> None:
        await self._db.write(lambda db: db.execute(statement, values).rowcount)


def _own(directory: Path, owner: str) -> int:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in directory.glob("owner-*"):
        _is_gone(path)
    return acquire(directory / f"owner-{owner}")


def _is_gone(path: Path) -> bool:
    """Whether the owner of a file is gone, however it ended; its file goes, too."""
    try:
        lock = acquire(path, wait=False, create=False)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    path.unlink(missing_ok=True)
    os.close(lock)
    return True


def _prepare(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)
    old = time.time() - KEPT
    db.execute("DELETE FROM outcomes WHERE at < ?", (old,))
    db.execute("DELETE FROM deliveries WHERE at < ?", (old,))
