"""Emptying the queue: calls are claimed, run, and their ends written."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from wherry.calls import queue, recovery, retention
from wherry.calls.attempt import Attempt, Ground, Why
from wherry.calls.callbacks import Callbacks
from wherry.calls.performing import Performer, StdioPerformer
from wherry.calls.places import Places
from wherry.calls.retrying import RetryPolicy
from wherry.calls.waking import woken
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.calls.callbacks import Deliver
    from wherry.calls.performing import Service
    from wherry.calls.queue import Claimed
    from wherry.calls.store import CallStore
    from wherry.functions.model import Mode

_LOG = logging.getLogger(__name__)
_LOOK = 5.0
"""Seconds after which we look for what other processes queued, or left when they died."""
_SWEEP = 60.0
"""Seconds between two rounds of giving up what is old."""
_PAUSE = 1.0
"""Seconds after the database could not be used."""


class QueueWorkers:
    """Runs the calls of a queue through a :class:`wherry.service.service.FunctionService`.

    ``concurrency`` calls at one time. ``lease``, in seconds, is how long others leave a call
    alone that is ours; it is renewed three times as often. ``performers`` say how functions are
    called that are no plain programs.
    """

    def __init__(
        self,
        store: CallStore,
        service: Service,
        *,
        concurrency: int = 16,
        policy: RetryPolicy | None = None,
        lease: float = 30.0,
        performers: Mapping[Mode, Performer] | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        policy = policy or RetryPolicy()
        self._performers: dict[Mode, Performer] = {"stdio": StdioPerformer(service)}
        self._performers |= performers or {}
        self._store = store
        self._ground = Ground(
            store=store,
            service=service,
            policy=policy,
            performers=self._performers,
        )
        self._concurrency = concurrency
        self._lease = lease
        self._running: dict[tuple[int, int], Attempt] = {}
        self._asked_to_end: set[int] = set()
        self._wake = asyncio.Event()
        self._places = Places(service, freed=self._wake.set)
        self._callbacks = Callbacks(store, policy=policy, deliver=deliver)
        self._closing = False
        self._ended = asyncio.Event()
        self._ended.set()
        store.on_change(self._wake.set)
        store.on_cancel(self._cancel)

    @property
    def running(self) -> int:
        """Calls that run here."""
        return len(self._running)

    def add_performer(self, mode: Mode, performer: Performer) -> None:
        """Say how functions of a mode are called from now on."""
        self._performers[mode] = performer

    async def run(self) -> None:
        """Work until :meth:`aclose`."""
        if self._closing:
            return
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(self._renew()),
                    group.create_task(self._look_after()),
                    group.create_task(self._callbacks.run()),
                ]
                async with asyncio.TaskGroup() as calls:
                    await self._dispatch(calls)
                for task in beside:
                    task.cancel()
        finally:
            self._ended.set()

    async def aclose(self, *, grace: float = 10.0) -> None:
        """Begin no more calls; what still runs after ``grace`` seconds goes back. Idempotent."""
        self._closing = True
        self._wake.set()
        await woken(self._ended, within=grace)
        self._interrupt_all("stopping")
        await self._ended.wait()

    # ---- claiming --------------------------------------------------------------------------

    async def _dispatch(self, calls: asyncio.TaskGroup) -> None:
        while not self._closing:
            self._wake.clear()
            wait = _LOOK
            if free := self._concurrency - len(self._running):
                claim = partial(self._claim, free, self._places.free())
                try:
                    claimed, due = await self._store.database.write(claim)
                except WherryError as error:
                    _LOG.error("the queue cannot be read", extra={"error": str(error)})
                    claimed, due = [], _PAUSE
                for each in claimed:
                    self._begin(each, calls)
                wait = min(_LOOK, due) if due is not None else _LOOK
            await woken(self._wake, within=wait)

    def _claim(
        self, free: int, places: Mapping[str, int], db: sqlite3.Connection
    ) -> tuple[list[Claimed], float | None]:
        now = self._store.now()
        claimed = queue.claim(db, now, lease=self._lease, most=free, places=places)
        return claimed, queue.next_due(db, now)

    def _begin(self, claimed: Claimed, calls: asyncio.TaskGroup) -> None:
        attempt = Attempt(claimed, self._ground)
        self._running[claimed.run] = attempt
        has_place = self._places.enter(claimed.request.qualified)
        if not has_place:
            attempt.interrupt("stopping")  # others of its function were claimed with it
        if claimed.number in self._asked_to_end:
            attempt.interrupt("cancelled")
        calls.create_task(self._make(attempt, has_place=has_place))

    async def _make(self, attempt: Attempt, *, has_place: bool) -> None:
        try:
            await attempt.make()
        finally:
            del self._running[attempt.claimed.run]
            if has_place:
                self._places.leave(attempt.claimed.request.qualified)
            self._wake.set()

    # ---- beside ----------------------------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            ours = dict(self._running)
            try:
                held = await self._store.database.write(
                    partial(queue.renew, now=self._store.now(), lease=self._lease)
                )
            except WherryError as error:
                _LOG.error("leases cannot be renewed", extra={"error": str(error)})
                continue
            self._asked_to_end.clear()
            for run, attempt in ours.items():
                if run not in held:
                    attempt.interrupt("lost")
                elif held[run]:
                    attempt.interrupt("cancelled")

    async def _look_after(self) -> None:
        """Take over from the dead, and give up what is old, now and then."""
        rounds = 0
        while True:
            try:
                await recovery.reclaim(self._store)
                if rounds % round(_SWEEP / _LOOK) == 0:
                    await retention.sweep(self._store)
            except WherryError as error:
                _LOG.error("the queue cannot be looked after", extra={"error": str(error)})
            rounds += 1
            await asyncio.sleep(_LOOK)

    def _cancel(self, number: int) -> None:
        for attempt in self._running.values():
            if attempt.claimed.number == number:
                attempt.interrupt("cancelled")
                return
        self._asked_to_end.add(number)  # it may have been claimed this very moment

    def _interrupt_all(self, why: Why) -> None:
        for attempt in self._running.values():
            attempt.interrupt(why)
