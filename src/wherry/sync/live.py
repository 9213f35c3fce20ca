"""A running container, for callers that are not asynchronous."""

from __future__ import annotations

import asyncio
import logging
import signal as signals
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.base import Container, Event
    from wherry.sync.portal import Portal

_log = logging.getLogger(__name__)


class LiveContainer:
    """A running container: iterate its events, the last of which is its Exit; or kill it."""

    def __init__(self, portal: Portal, container: Container) -> None:
        self._portal = portal
        self._container = container
        self._events = aiter(container)

    @property
    def id(self) -> str:
        """The invocation's id."""
        return self._container.id

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self._portal.call(self._next())
        if event is None:
            raise StopIteration
        return event

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal; SIGKILL ends everything in the container. Harmless after its end."""
        self._portal.call(self._container.kill(signal))

    async def _next(self) -> Event | None:
        return await anext(self._events, None)


@contextmanager
def live(
    portal: Portal, start: Callable[[], AbstractAsyncContextManager[Container]]
) -> Iterator[LiveContainer]:
    """Start a container, and leave its block in the way that the caller's is left."""
    stay = _Stay(start)
    container = portal.call(stay.enter())
    try:
        yield LiveContainer(portal, container)
    except BaseException:
        portal.finish(stay.abandon())
        raise
    portal.finish(stay.leave())


class _Stay:
    """Holds an asynchronous block in one task: it must be left by the task that entered it."""

    def __init__(self, start: Callable[[], AbstractAsyncContextManager[Container]]) -> None:
        self._start = start
        self._leave = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def enter(self) -> Container:
        entered: asyncio.Future[Container] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._stay(entered))
        try:
            return await asyncio.shield(entered)
        except asyncio.CancelledError:
            await self.abandon()
            if entered.done():
                entered.exception()  # nobody else looks at it
            raise

    async def leave(self) -> None:
        """Leave normally; raises what the engine has to say about that."""
        self._leave.set()
        if self._life is not None:
            await asyncio.shield(self._life)

    async def abandon(self) -> None:
        """Leave because of an error, which goes before any that comes on top."""
        if self._life is None:
            return
        self._life.cancel()
        await asyncio.wait([self._life])
        if not self._life.cancelled() and (error := self._life.exception()) is not None:
            _log.error("leaving a container failed", exc_info=error)

    async def _stay(self, entered: asyncio.Future[Container]) -> None:
        try:
            async with self._start() as container:
                entered.set_result(container)
                await self._leave.wait()
        except asyncio.CancelledError:
            if not entered.done():
                entered.cancel()
            raise
        except Exception as error:
            if entered.done():
                raise
            entered.set_exception(error)
