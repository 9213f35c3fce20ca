"""Telling somebody a result: POSTed, tried again until it is taken."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from wherry.calls import telling
from wherry.calls.retrying import RetryPolicy, retry_after
from wherry.calls.rows import describe, without_secrets
from wherry.calls.waking import woken
from wherry.errors import WherryError
from wherry.functions.model import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from types import TracebackType

    import aiohttp

    from wherry.calls.model import CallRecord
    from wherry.calls.store import CallStore
    from wherry.calls.telling import Due

_LOG = logging.getLogger(__name__)
_WITHIN = 60.0
"""Seconds for one attempt, answer included."""
_LEASE = 2 * _WITHIN
_IDLE = 5.0
"""Seconds after which we look for what other processes did."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class Told:
    """What one attempt came to."""

    status: int | None
    error: str | None = None
    """None: it was taken."""
    retry_after: float | None = None
    final: bool = False
    """There is no use in another attempt."""


class Deliver(Protocol):
    """Makes one attempt."""

    async def __call__(
        self, url: str, *, headers: dict[str, str], body: AsyncIterator[bytes]
    ) -> Told:
        """Post; a failure is returned, not raised."""
        ...


class Callbacks:
    """Delivers the results that are due, a few at a time."""

    def __init__(
        self,
        store: CallStore,
        *,
        policy: RetryPolicy,
        deliver: Deliver | None = None,
        at_once: int = 8,
    ) -> None:
        self._store = store
        self._policy = policy
        self._deliver = deliver
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        store.on_callback(self._wake.set)

    async def run(self) -> None:
        """Deliver until cancelled."""
        if self._deliver is not None:
            await self._run(self._deliver)
            return
        async with Posting() as posting:
            await self._run(posting)

    async def _run(self, deliver: Deliver) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wait = _IDLE
                if len(self._running) < self._at_once:
                    wait = await self._begin(group, deliver)
                await woken(self._wake, within=wait)

    async def _begin(self, group: asyncio.TaskGroup, deliver: Deliver) -> float:
        """Start what is due, and return when to look again, in seconds."""
        most = self._at_once - len(self._running)
        database = self._store.database
        try:
            wait = await database.read(partial(telling.next_due, now=self._store.now()))
            if wait is None or wait > 0:
                return min(_IDLE, wait or _IDLE)
            due = await database.write(
                partial(telling.claim, now=self._store.now(), lease=_LEASE, most=most)
            )
        except WherryError as error:
            _LOG.error("callbacks cannot be read", extra={"error": str(error)})
            return 1.0
        for each in due:
            task = group.create_task(self._tell(each, deliver))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return 0.0 if due else 1.0

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()

    async def _tell(self, due: Due, deliver: Deliver) -> None:
        try:
            async with aclosing(self._store.files.chunks(due.result)) as body:
                told = await deliver(due.url, headers=headers_of(due), body=body)
        except WherryError as error:  # the result cannot be read
            told = Told(None, describe(error))
        try:
            await self._store.database.write(partial(self._note, due=due, told=told))
        except WherryError as error:  # it is told again when its lease ends
            _LOG.error("a callback cannot be noted", extra={"error": str(error)})

    def _note(self, db: sqlite3.Connection, *, due: Due, told: Told) -> None:
        now = self._store.now()
        if told.error is None:
            telling.delivered(db, due, now=now, status=told.status or 200)
            return
        delay = None
        if not told.final and due.attempts < self._policy.callback_attempts:
            delay = self._policy.callbacks.delay(due.attempts, asked=told.retry_after)
        telling.not_delivered(db, due, now=now, status=told.status, error=told.error, delay=delay)


def headers_of(due: Due) -> dict[str, str]:
    """Return what a callback says of its call."""
    record = due.record
    return {
        "X-Call-Id": record.id,
        "X-Duration-Seconds": f"{record.duration or 0.0:.6f}",
        "X-Function-Status": str(record.status or 500),
        "X-Function-Name": _name(record),
        "X-Start-Time": str(int((record.started or record.created) * 1e9)),
        "X-Call-State": record.state,
        "Content-Type": "application/octet-stream",
        "Content-Length": str(due.result.size),
    }


def _name(record: CallRecord) -> str:
    return record.name if record.namespace == DEFAULT_NAMESPACE else record.qualified


class Posting:
    """Posts over HTTP; nothing of that is loaded before there is somebody to be told."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(
        self, url: str, *, headers: dict[str, str], body: AsyncIterator[bytes]
    ) -> Told:
        """See :class:`Deliver`."""
        import aiohttp

        shown = without_secrets(url)
        try:
            # Not further than where it was sent: who may be called back is decided by the URL.
            async with self._opened().post(
                url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return Told(answer.status)
                return Told(
                    answer.status,
                    f"{shown} answered {answer.status} {answer.reason}",
                    retry_after=retry_after(answer.headers.get("Retry-After")),
                    final=answer.status == _GONE,
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Told(None, f"{shown}: {describe(error).replace(url, shown)}")

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_WITHIN, connect=10.0)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=jar)
        return self._session
