"""What the dead have left: calls they ran, results they were telling, files nobody names."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from wherry.calls import owners, queue, schema
from wherry.calls.retrying import LONGEST

if TYPE_CHECKING:
    from wherry.calls.store import CallStore


async def start(store: CallStore, *, boot: str) -> None:
    """Bring the records into order before anything is done with them."""
    now = store.now()

    def prepare(db: sqlite3.Connection) -> None:
        schema.prepare(db)
        queue.rebase(db, now, boot=boot, longest=LONGEST)

    await store.database.write(prepare)
    await reclaim(store)
    await remove_orphans(store)
    await asyncio.to_thread(owners.forget_dead, store.owners)


async def reclaim(store: CallStore) -> int:
    """Queue anew what owners run that are dead, or late; return how many calls these were."""
    running = await store.database.read(queue.owners)
    dead = [
        owner
        for owner in running - {store.owner.id}
        if not await asyncio.to_thread(owners.is_alive, store.owners, owner)
    ]
    now = store.now()

    def take(db: sqlite3.Connection) -> int:
        return sum(queue.reclaim(db, owner, now=now) for owner in dead) + queue.reclaim_expired(
            db, now
        )

    count = await store.database.write(take)
    if count:
        store.notify()
        store.notify_callback()
    return count


async def remove_orphans(store: CallStore) -> list[str]:
    """Remove the files that dead owners wrote and no record names; return their names."""
    alive = partial(owners.is_alive, store.owners)
    left = await asyncio.to_thread(store.files.left_behind, alive)
    named = await store.database.read(partial(_named, files=left)) if left else set()
    orphans = [name for name in left if name not in named]
    await store.files.remove(orphans)
    return orphans


def _named(db: sqlite3.Connection, *, files: list[str]) -> set[str]:
    wanted = json.dumps(files)
    found = db.execute(
        "SELECT file FROM requests WHERE file IN (SELECT value FROM json_each(?)) UNION"
        " SELECT file FROM results WHERE file IN (SELECT value FROM json_each(?))",
        (wanted, wanted),
    ).fetchall()
    return {row["file"] for row in found}
