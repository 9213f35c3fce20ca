"""Records of the calls that somebody waits for: written a little later, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from contextvars import ContextVar
from typing import TYPE_CHECKING

from wherry.calls import rows
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.calls.database import Database
    from wherry.calls.model import CallRecord
    from wherry.models import Output
    from wherry.service.call import Call

_AT_ONCE = 500
_MOST = 20_000
"""Records that wait for the disk; then the oldest are lost, and counted."""
_LATER = 0.2
"""Seconds that a record may wait for company."""

OF_THE_QUEUE: ContextVar[str] = ContextVar("wherry_of_the_queue", default="")
"""The id of the call of the queue that this task runs, by whatever trigger. The id alone would
not tell: callers choose ids, and could hide their calls behind that of a queued one."""


class Recorder:
    """An :class:`wherry.service.call.Observer` that never makes a call wait.

    Calls of the queue are left out: the queue writes their records itself, durably.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[int, Call] = {}
        self._waiting: dict[int, CallRecord] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self.dropped = 0
        """Records lost since the start because calls ended faster than the disk writes."""

    # ---- Observer --------------------------------------------------------------------------

    def began(self, call: Call) -> None:
        """Know of the call as long as it runs."""
        if call.trigger != "async" and call.id != OF_THE_QUEUE.get():
            self._running[id(call)] = call

    def started(self, call: Call) -> None:
        """Do nothing: the call itself knows."""

    def wrote(self, call: Call, output: Output) -> None:
        """Do nothing: the call itself knows."""

    def ended(self, call: Call) -> None:
        """Write the record of the call soon."""
        if self._running.pop(id(call), None) is None:
            return
        # The trigger sets the status last of all, right after this.
        asyncio.get_running_loop().call_soon(self._take, call)

    # ---- for the store ---------------------------------------------------------------------

    def running(self) -> list[CallRecord]:
        """Return the calls that somebody waits for now, the latest first."""
        return [rows.finished(call) for call in reversed(self._running.values())]

    async def flush(self) -> None:
        """Write what waits; what cannot be written is lost, and counted."""
        await asyncio.sleep(0)  # those that ended in this turn of the loop
        while self._writing is not None or self._waiting:
            self._write()
            if self._writing is not None:
                with contextlib.suppress(WherryError):
                    await asyncio.shield(self._writing)
            # A future that is done is awaited without a pause, and what it is to call back waits.
            await asyncio.sleep(0)

    def _take(self, call: Call) -> None:
        if len(self._waiting) >= _MOST:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1
        self._waiting[id(call)] = rows.finished(call)
        if len(self._waiting) >= _AT_ONCE:
            self._write()
        elif self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(_LATER, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or not self._waiting:
            return
        batch = list(self._waiting.values())
        self._waiting.clear()

        def insert(db: sqlite3.Connection) -> None:
            db.executemany(_INSERT, map(_values, batch))

        self._writing = self._database.write_soon(insert)
        self._writing.add_done_callback(lambda written: self._wrote(written, len(batch)))

    def _wrote(self, written: asyncio.Future[None], count: int) -> None:
        self._writing = None
        if not written.cancelled() and written.exception() is not None:
            self.dropped += count
        if self._waiting:
            self._write()


_COLUMNS = (
    *("id", "name", "namespace", "trigger", "state", "created", "started", "first_byte", "ended"),
    *("attempts", "status", "exit_code", "exit_reason", "error"),
    *("stdin_bytes", "stdout_bytes", "stderr"),
)
_INSERT = (
    f"INSERT INTO calls (durable, {', '.join(_COLUMNS)})"  # noqa: S608 - our own names
    f" VALUES (0{', ?' * len(_COLUMNS)})"
)


def _values(record: CallRecord) -> list[object]:
    return [getattr(record, name) for name in _COLUMNS]
