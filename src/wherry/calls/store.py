"""The records of calls and the queue, as everything else sees them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wherry.calls import finding, owners, queue, recovery
from wherry.calls.clock import Clock
from wherry.calls.database import Database
from wherry.calls.model import CallRecord, QueuedRequest, QueueLimits, QueueStats, State
from wherry.calls.payloads import Payload, PayloadFiles
from wherry.calls.queue import Now
from wherry.calls.recorder import Recorder
from wherry.calls.room import Room
from wherry.calls.waking import woken
from wherry.errors import Conflict, NotFound

if TYPE_CHECKING:
    from types import TracebackType

    from wherry.service.call import Trigger

_LOOK = 5.0
"""Seconds after which who waits for a call looks for what other processes did."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A body or a result that is kept; iterate it for its bytes, as often as you like."""

    size: int
    _files: PayloadFiles
    _payload: Payload

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._files.chunks(self._payload)


class CallStore:
    """Records of all calls, and the durable queue; several processes may share one directory.

    Made by :meth:`open`. Raises :class:`EngineError` when the disk cannot be used.
    """

    def __init__(
        self, database: Database, *, directory: Path, limits: QueueLimits, clock: Clock
    ) -> None:
        self.database = database
        self.limits = limits
        self.owners = directory / "owners"
        """The directory that says who lives."""
        self.owner = owners.Owner.register(self.owners)
        self.files = PayloadFiles(directory / "payloads", owner=self.owner.id)
        self.recorder = Recorder(database)
        """Give it to :class:`FunctionService` as an observer."""
        self._clock = clock
        self._room = Room(limits)
        self._listeners: list[Callable[[], None]] = []
        self._telling: list[Callable[[], None]] = []
        self._cancelling: list[Callable[[int], None]] = []
        self._awaited: dict[str, set[asyncio.Event]] = {}
        """Call id to those who wait for its end."""

    @classmethod
    async def open(
        cls, directory: Path, *, limits: QueueLimits | None = None, clock: Clock | None = None
    ) -> Self:
        """Open the records in ``directory/calls``, and take back what dead owners ran.

        Raises :class:`EngineUnavailable` for records of a later version.
        """
        place = directory / "calls"
        await asyncio.to_thread(partial(place.mkdir, mode=0o700, parents=True, exist_ok=True))
        database = await Database.open(place / "calls.db")
        made = cls(
            database, directory=place, limits=limits or QueueLimits(), clock=clock or Clock()
        )
        try:
            await recovery.start(made, boot=made._clock.boot())
        except BaseException:
            await made.aclose()
            raise
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
        """Write what waits, and close. Idempotent. Workers are closed before."""
        try:
            if self.database.is_open:
                await self.recorder.flush()
                await self.database.write(partial(queue.give_back_all, now=self.now()))
        finally:
            await self.database.aclose()
            self.owner.close()

    def now(self) -> Now:
        """Return this moment, as the statements of the queue take it."""
        return Now(wall=self._clock.wall(), steady=self._clock.steady(), owner=self.owner.id)

    # ---- the queue -------------------------------------------------------------------------

    async def enqueue(
        self,
        request: QueuedRequest,
        body: AsyncIterable[bytes],
        *,
        max_body: int | None = None,
    ) -> CallRecord:
        """Queue a call; it is on the disk when this returns.

        ``max_body`` is what the function allows, in bytes. Raises :class:`TooLarge`,
        :class:`Busy` when the queue is full, :class:`AlreadyExists` for the id of another
        queued call, :class:`UsageError` for a callback that cannot be, and what ``body`` raises.
        """
        self._room.check_callback(request.callback)
        with self._room.arrival() as came:
            return await self._enqueue(request, body, max_body=max_body, came=came)

    async def _enqueue(
        self,
        request: QueuedRequest,
        body: AsyncIterable[bytes],
        *,
        max_body: int | None,
        came: Callable[[int], None],
    ) -> CallRecord:
        async with self.files.spool() as spool:
            async for chunk in body:
                self._room.check_size(spool.size + len(chunk), request, max_body=max_body)
                came(len(chunk))
                await spool.write(chunk)
            payload = await spool.finish()
            try:
                record = await self.database.write(partial(self._insert, request, payload))
            except Exception:
                await self.files.remove([payload.file] if payload.file else [])
                raise
        self.notify()
        return record

    def _insert(
        self, request: QueuedRequest, payload: Payload, db: sqlite3.Connection
    ) -> CallRecord:
        now = self.now()
        self._room.check_queue(db, now, size=payload.size)
        return queue.insert(db, request, body=payload, now=now)

    async def cancel(self, id: str) -> CallRecord:  # noqa: A002 - what it is
        """End a queued call: at once when it waits, soon when it runs.

        Raises :class:`NotFound`, :class:`Conflict` when it has ended or was not queued.
        """
        number = await self.database.write(partial(finding.cancel, id=id, now=self.now()))
        for listener in self._cancelling:
            listener(number)
        self.notify_callback()
        self.ended(id)
        return await self.get(id)

    async def retry(self, id: str) -> CallRecord:  # noqa: A002 - what it is
        """Queue a dead or cancelled call anew.

        Raises :class:`NotFound`, :class:`Conflict` for any other call.
        """
        unused = await self.database.write(partial(finding.retry, id=id, now=self.now()))
        await self.files.remove(unused)
        self.notify()
        return await self.get(id)

    # ---- records ---------------------------------------------------------------------------

    async def get(self, id: str) -> CallRecord:  # noqa: A002 - what it is
        """Return a call: the queued one of that id, else the latest. Raises :class:`NotFound`."""
        await self.recorder.flush()
        found = await self.database.read(partial(finding.get, id=id))
        if found is not None and found.is_open:
            return found
        running = next((record for record in self.recorder.running() if record.id == id), None)
        if found is None and running is None:
            raise NotFound(f"there is no call {id!r}; records are kept for a limited time")
        return running or found  # type: ignore[return-value]  # one of them is there

    async def wait(self, id: str, *, seconds: float) -> CallRecord:  # noqa: A002 - what it is
        """Return a call when it has ended, or after so many seconds as it is then.

        Raises :class:`NotFound`.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        event = asyncio.Event()
        waiting = self._awaited.setdefault(id, set())
        waiting.add(event)
        try:
            while True:
                event.clear()
                record = await self.get(id)
                left = end - loop.time()
                if not record.is_open or left <= 0:
                    return record
                await woken(event, within=min(left, _LOOK))
        finally:
            waiting.discard(event)
            if not waiting and self._awaited.get(id) is waiting:
                del self._awaited[id]  # also of an id that there is not: nothing may pile up

    def ended(self, id: str) -> None:  # noqa: A002 - what it is
        """Let those know who wait for the end of a call."""
        for event in self._awaited.get(id, ()):
            event.set()

    async def list(
        self,
        *,
        name: str | None = None,
        namespace: str | None = None,
        state: State | None = None,
        trigger: Trigger | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[CallRecord]:
        """Return calls, the latest first, without their stderr.

        ``before`` is the number of the last record of the page before. Calls that somebody
        waits for come first of all, with number 0, on the first page.
        """
        await self.recorder.flush()
        wanted = finding.Filter(name=name, namespace=namespace, state=state, trigger=trigger)
        running = [r for r in self.recorder.running() if before is None and wanted.admits(r)]
        stored = await self.database.read(
            partial(finding.page, wanted=wanted, before=before, limit=limit)
        )
        return (running + stored)[:limit]

    async def result(self, id: str) -> Stored:  # noqa: A002 - what it is
        """Return what a queued call wrote to stdout.

        Raises :class:`NotFound`, also when it is not kept any more, :class:`Conflict` when the
        call has not ended.
        """
        record = await self.get(id)
        if record.is_open:
            raise Conflict(f"call {id!r} is {record.state}: it has no result yet")
        found = await self.database.read(partial(finding.result, number=record.number))
        if found is None:
            raise NotFound(f"the result of call {id!r} is not kept (any more)")
        return Stored(found.size, self.files, found)

    async def stats(self) -> QueueStats:
        """Return the queue in numbers."""
        return await self.database.read(
            partial(finding.stats, now=self.now(), dropped=self.recorder.dropped)
        )

    # ---- for the workers -------------------------------------------------------------------

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever there may be a call to run."""
        self._listeners.append(listener)

    def on_callback(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever there may be somebody to be told a result."""
        self._telling.append(listener)

    def on_cancel(self, listener: Callable[[int], None]) -> None:
        """Call ``listener`` with the number of a call that is to end, when it may be ours."""
        self._cancelling.append(listener)

    def notify(self) -> None:
        """Say that there may be a call to run."""
        for listener in self._listeners:
            listener()

    def notify_callback(self) -> None:
        """Say that there may be somebody to be told a result."""
        for listener in self._telling:
            listener()
