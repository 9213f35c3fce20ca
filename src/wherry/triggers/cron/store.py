"""Schedules and their runs on disk, and who of several schedulers has a tick."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wherry.calls.database import Database
from wherry.calls.owners import Owner, forget_dead
from wherry.errors import NotFound
from wherry.triggers.cron import rows
from wherry.triggers.cron.rows import Claim, Lost, Retention, Won

if TYPE_CHECKING:
    from types import TracebackType

    from wherry.triggers.cron.model import Cause, Definition, Entry, Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list, the latest first."""

    name: str | None = None
    since: float | None = None
    """Unix seconds."""
    before: int | None = None
    """A run's number."""
    limit: int = 100


class ScheduleStore:
    """``schedules.db``; several processes of one machine may use it at one time.

    Everything raises :class:`wherry.errors.EngineError` when the disk fails.
    """

    def __init__(self, database: Database, *, owner: Owner, owners: Path, keep: Retention) -> None:
        self._database = database
        self._owner = owner
        self._owners = owners
        self._keep = keep
        self._soon: dict[int, Run] = {}
        """Number to what is written in the next turn of the loop."""

    @classmethod
    async def open(cls, directory: Path, *, keep: Retention | None = None) -> Self:
        """Open the schedules in a directory, and close what dead schedulers left open."""
        await asyncio.to_thread(partial(directory.mkdir, mode=0o700, parents=True, exist_ok=True))
        database = await Database.open(directory / "schedules.db")
        try:
            await database.write(rows.prepare)
            owners = directory / "schedulers"
            owner = await asyncio.to_thread(Owner.register, owners)
        except BaseException:
            await database.aclose()
            raise
        made = cls(database, owner=owner, owners=owners, keep=keep or Retention())
        await database.write(partial(rows.bury, owners=owners))
        await asyncio.to_thread(forget_dead, owners)
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close it. Idempotent."""
        self._write_soon()
        await self._database.aclose()
        self._owner.close()

    # ---- schedules -------------------------------------------------------------------------

    async def put(self, definition: Definition, *, source: str, now: float) -> Entry:
        """Keep a definition in place of the one of its name, if there is one."""
        return await self._database.write(
            partial(rows.put, definition=definition, source=source, now=now)
        )

    async def remove(self, name: str) -> None:
        """Remove a schedule and its history. Raises :class:`NotFound`."""
        if not await self._database.write(partial(rows.remove, name=name)):
            raise _none(name)

    async def entries(self) -> list[Entry]:
        """Return all schedules by name."""
        return await self._database.read(rows.entries)

    async def pause(self, name: str, *, paused: bool, now: float) -> Entry:
        """Stop ticks, or let them go on from now. Raises :class:`NotFound`."""
        found = await self._database.write(partial(rows.pause, name=name, paused=paused, now=now))
        if found is None:
            raise _none(name)
        return found

    async def rewind(self, *, now: float) -> None:
        """Let schedules go on whose last tick is hours ahead: the clock was wrong then."""
        await self._database.write(partial(rows.rewind, now=now))

    # ---- runs ------------------------------------------------------------------------------

    async def claim(self, claims: Sequence[Claim]) -> list[Won | Lost]:
        """Take ticks: each belongs to one scheduler at most."""
        return await self._database.write(
            partial(rows.claim, claims=claims, owner=self._owner.id, owners=self._owners)
        )

    async def begin(self, name: str, *, cause: Cause, now: float) -> Run:
        """Note a run that nobody else can have: one that was asked for."""
        return await self._database.write(
            partial(rows.begin, name=name, cause=cause, scheduled=now, owner=self._owner.id)
        )

    async def update(self, run: Run) -> None:
        """Note what is known of a run now; with its end also its output."""
        self._soon.pop(run.number, None)
        await self._database.write(partial(rows.update, run=run, keep=self._keep))

    def update_soon(self, run: Run) -> None:
        """Begin an :meth:`update` that nobody waits for; what is noted later comes after it.

        All of one turn of the loop are written together: the thread that writes would take
        the processor from the others that are about to begin.
        """
        if not self._soon:
            asyncio.get_running_loop().call_soon(self._write_soon)
        self._soon[run.number] = run

    def _write_soon(self) -> None:
        runs, self._soon = list(self._soon.values()), {}
        if runs:
            done = self._database.write_soon(partial(rows.update_all, runs=runs, keep=self._keep))
            done.add_done_callback(_log)

    async def runs(self, wanted: RunFilter | None = None) -> list[Run]:
        """Return runs without their output, the latest first."""
        asked = wanted or RunFilter()
        return await self._database.read(
            partial(rows.runs, name=asked.name, since=asked.since, before=asked.before,
                    limit=asked.limit)
        )  # fmt: skip

    async def tallies(self, names: Sequence[str], *, since: float, step: float) -> list[rows.Tally]:
        """Count the runs of some schedules by status and by steps of seconds since a moment."""
        return await self._database.read(
            partial(rows.tallies, names=list(names), since=since, step=step)
        )

    async def run(self, name: str, id: str) -> Run:  # noqa: A002 - as in Invocation
        """Return a run with its output. Raises :class:`NotFound`."""
        found = await self._database.read(partial(rows.run, name=name, id=id))
        if found is None:
            raise NotFound(f"schedule {name!r} has no run {id!r}")
        return found


def _log(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _LOG.error("a run cannot be noted", extra={"error": str(error)})


def _none(name: str) -> NotFound:
    return NotFound(f"there is no schedule {name!r}")
