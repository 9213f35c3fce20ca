"""One run of a call of the queue, from its claim to the word on what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from wherry.calls import queue, verdict
from wherry.calls.performing import Performer, Run
from wherry.calls.queue import Claimed, Ending
from wherry.calls.recorder import OF_THE_QUEUE
from wherry.calls.store import Stored
from wherry.calls.verdict import GiveBack, Verdict
from wherry.errors import EngineError, TooLarge, Unsupported, WherryError
from wherry.units import format_size

if TYPE_CHECKING:
    from wherry.calls.payloads import Payload, Spool
    from wherry.calls.performing import Service
    from wherry.calls.retrying import RetryPolicy
    from wherry.calls.store import CallStore
    from wherry.functions.model import Deployed, Mode

_LOG = logging.getLogger(__name__)
_PAUSE = 1.0
"""Seconds before an end is written again that the disk did not take."""

Why = Literal["cancelled", "lost", "stopping"]
"""``lost``: the lease ended before it was renewed, so that somebody else may run the call now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all attempts share."""

    store: CallStore
    service: Service
    policy: RetryPolicy
    performers: Mapping[Mode, Performer]


class Attempt:
    """Runs a call that was claimed, and writes its end."""

    def __init__(self, claimed: Claimed, ground: Ground) -> None:
        self.claimed = claimed
        self._store = ground.store
        self._ground = ground
        self._task: asyncio.Task[Verdict] | None = None
        self._why: Why | None = None
        self._deployed: Deployed | None = None

    def interrupt(self, why: Why) -> None:
        """End the run. Harmless when it has ended already; the first reason counts."""
        if self._why is None:
            self._why = why
            if self._task is not None:
                self._task.cancel()

    async def make(self) -> None:
        """Run the call and write what became of it, however long the disk takes."""
        async with self._store.files.spool() as spool:
            run = Run()
            found = await self._verdict(run, spool)
            if found is None:
                return
            result = None
            if isinstance(found, Ending) and found.state != "queued":
                result = await self._finished(spool)
            await self._write(found, result)

    async def _verdict(self, run: Run, spool: Spool) -> Verdict | None:
        """Return what becomes of the call; None when that is not ours to say any more."""
        if self.claimed.interruptions > self._ground.policy.interruptions:
            return verdict.interrupted_too_often(self.claimed, now=self._store.now().wall)
        found: Verdict | None = None
        if self._why is None:
            async with asyncio.TaskGroup() as group:
                self._task = group.create_task(self._run(run, spool))
            if not self._task.cancelled():
                found = self._task.result()
        match self._why:
            case "lost":
                return None
            case "cancelled" if not _is_done(found):
                return verdict.cancelled(run, now=self._store.now().wall)
            case "stopping" if not _is_done(found):
                return GiveBack()
        return found or self._judge(run, EngineError("the call was cancelled by itself"))

    async def _run(self, run: Run, spool: Spool) -> Verdict:
        OF_THE_QUEUE.set(self.claimed.request.id)  # in the context of this task alone
        try:
            await self._perform(run, spool)
        except WherryError as error:
            return self._judge(run, error)
        except Exception as error:  # noqa: BLE001 - one call that fails oddly stops no others
            _LOG.error("a call of the queue failed oddly", exc_info=error)
            return self._judge(run, EngineError(f"{type(error).__name__}: {error}"))
        return self._judge(run, None)

    def _judge(self, run: Run, error: WherryError | None) -> Verdict:
        return verdict.judge(
            self.claimed,
            run,
            error=error,
            settings=self._deployed.settings if self._deployed else None,
            policy=self._ground.policy,
            now=self._store.now().wall,
        )

    async def _perform(self, run: Run, spool: Spool) -> None:
        request = self.claimed.request
        self._deployed = deployed = self._ground.service.find(request.qualified)
        performer = self._ground.performers.get(deployed.settings.mode)
        if performer is None:
            mode = deployed.settings.mode
            raise Unsupported(f"functions of mode {mode!r} cannot be called from the queue")
        body = Stored(self.claimed.body.size, self._store.files, self.claimed.body)
        most = self._store.limits.max_result

        async def write(data: bytes) -> None:
            if spool.size + len(data) > most:
                raise TooLarge(
                    f"function {deployed.name!r} wrote more than {format_size(most)}, which is the"
                    " most that is kept of a call of the queue"
                )
            await spool.write(data)

        await performer(deployed, request, body=body, run=run, write=write)

    async def _finished(self, spool: Spool) -> Payload | None:
        while self._why != "stopping":
            try:
                return await spool.finish()
            except WherryError as error:
                await self._pause(error)
        return None

    async def _write(self, found: Verdict, result: Payload | None) -> None:
        while True:
            try:
                await self._try_write(found, result)
            except WherryError as error:
                if self._why == "stopping":
                    return  # the store gives it back, or its lease ends
                await self._pause(error)
            else:
                return

    async def _try_write(self, found: Verdict, result: Payload | None) -> None:
        database, now = self._store.database, self._store.now()
        if isinstance(found, GiveBack):
            await database.write(
                partial(
                    queue.give_back,
                    claimed=self.claimed,
                    now=now,
                    delay=found.delay,
                    refused=found.refused,
                )
            )
            return
        finished = await database.write(
            partial(queue.finish, claimed=self.claimed, ending=found, result=result, now=now)
        )
        await self._store.files.remove(finished.unused)
        if found.state != "queued":
            self._store.ended(self.claimed.request.id)
            if self.claimed.request.callback:
                self._store.notify_callback()

    async def _pause(self, error: WherryError) -> None:
        _LOG.error(
            "the end of a call cannot be written; it is tried again",
            extra={"call": self.claimed.request.id, "error": str(error)},
        )
        await asyncio.sleep(_PAUSE)


def _is_done(found: Verdict | None) -> bool:
    return isinstance(found, Ending) and found.state == "done"
