"""The one container of a function whose program is a server: started, watched, restarted, ended."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from wherry.errors import Busy, EngineError, StartError, Unsupported, UsageError, WherryError
from wherry.models import Exit, Invocation
from wherry.service import health
from wherry.service.last_words import LastWords, Wrote
from wherry.service.patience import Patience

if TYPE_CHECKING:
    import socket

    from wherry.client import AsyncClient
    from wherry.engines.base import Container
    from wherry.functions.model import Deployed
    from wherry.models import Function
    from wherry.service.door import Door, Doors

_log = logging.getLogger(__name__)


class Kept:
    """Keeps one container while it is asked for; see :class:`wherry.service.keeping.Keeping`."""

    def __init__(
        self,
        deployed: Deployed,
        *,
        client: AsyncClient,
        doors: Doors,
        idle: float | None,
        wrote: Wrote | None = None,
        patience: Patience | None = None,
    ) -> None:
        """``idle`` is how many seconds without a request end the container; None: it stays."""
        self.deployed = deployed
        self.restarts = 0
        """How often it ended although nobody had asked it to."""
        self._client = client
        self._doors = doors
        self._idle = idle
        self._wrote = wrote
        self._patience = patience or Patience()
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._door: Door | None = None
        self._waiting: set[asyncio.Future[Door]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._failure: WherryError | None = None
        self._failures = 0
        self._resume = 0.0
        self._was_up = False

    @property
    def is_up(self) -> bool:
        """Whether its program accepts connections."""
        return self._door is not None

    @property
    def users(self) -> int:
        """How many requests it serves, or will."""
        return self._users

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[socket.socket]:
        """Give a connection to the program, and let it be there as long as the block runs.

        From zero, this waits for the start. Raises what the start does, :class:`StartError` for
        a program that does not come up, :class:`Busy` while one that has failed has to wait.
        """
        self._users += 1
        self._unused.clear()
        self._stop_timer()
        try:
            with await self._connected() as connection:
                yield connection
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()
                self._start_timer()

    def begin(self) -> None:
        """Start the container, without waiting for it."""
        if not self._closed and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.create_task(self._keep())
            self._keeping.add_done_callback(self._kept)

    async def retire(self) -> None:
        """End when the requests that run have been served, within a bound."""
        try:
            async with asyncio.timeout(self._patience.drain):
                await self._unused.wait()
        except TimeoutError:
            _log.warning("requests were cut", extra={"function": self.deployed.qualified})
        await self.aclose()

    async def aclose(self) -> None:
        """Ask the program to stop, and end the container. Idempotent."""
        self._closed = True
        self._stop_timer()
        self._rest()
        if self._keeping is not None:
            await asyncio.wait([self._keeping])

    async def _connected(self) -> socket.socket:
        while True:
            door = self._door or await self._started()
            try:
                return await door.connect()
            except EngineError:
                # It has just ended, which will be noticed: the next one is waited for.
                if self._door is door:
                    self._door = None

    async def _started(self) -> Door:
        if self._closed:
            raise Busy(f"function {self.deployed.name!r} is being stopped; try again")
        left = self._resume - time.monotonic()
        if self._failure is not None and left > self._patience.turned_away:
            raise Busy(f"{self._failure}; it is started again in {left:.0f} s")
        self.begin()
        waiting: asyncio.Future[Door] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            return await waiting
        finally:
            self._waiting.discard(waiting)

    async def _keep(self) -> None:
        """Run one container after the other, until none is wanted."""
        while not self._closed:
            self._stop.clear()
            if await _happens(self._stop, within=max(0.0, self._resume - time.monotonic())):
                break
            began = time.monotonic()
            try:
                await self._live()
            except WherryError as error:
                was_up = self._fail(error, lasted=time.monotonic() - began)
                if not was_up and self._idle is not None:
                    break  # the next request tries again
            else:
                if not self._waiting:
                    break  # it was idle, and nobody has come while it stopped

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        """Leave nobody waiting, whatever has ended the keeping."""
        if keeping is not self._keeping:
            return  # somebody came before this was heard of, and waits for the next one
        name = self.deployed.name
        self._refuse(self._failure or StartError(f"function {name!r} was stopped"))
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            _log.error("keeping a container failed", exc_info=error)

    def _fail(self, error: WherryError, *, lasted: float) -> bool:
        """Note a failure and when to try again; return whether the program had been up."""
        was_up, self._was_up = self._was_up, False
        self._failures = 0 if was_up and lasted > self._patience.steady else self._failures + 1
        pause = self._patience.first_pause * 2 ** min(max(self._failures - 1, 0), 20)
        self._resume = time.monotonic() + min(pause, self._patience.longest_pause)
        self._failure = error
        self.restarts += 1
        _log.warning(
            "a kept container ended",
            extra={"function": self.deployed.qualified, "reason": str(error)},
        )
        if not was_up:
            self._refuse(error)
        return was_up

    def _refuse(self, error: WherryError) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(error)

    async def _live(self) -> None:
        """Run one container until it is to stop; raises when it ends in any other way."""
        # The directory of doors belongs in the engine's own, which this makes.
        await self._client.prepare(dataclasses.replace(self.deployed.function, ready=None))
        door = self._doors.make()
        invocation = Invocation(function=self._function(door))
        words = LastWords(self.deployed, invocation.id, self._wrote)
        try:
            async with self._client.call(invocation) as container:
                reading = asyncio.create_task(words.read(container))
                try:
                    await self._serve(door, reading, words)
                    await self._end(container, reading)
                finally:
                    self._door = None
                    reading.cancel()
                    await asyncio.wait([reading])
        except UsageError as error:
            raise _explained(error) from error
        finally:
            door.close()

    async def _serve(self, door: Door, reading: asyncio.Task[Exit], words: LastWords) -> None:
        """Return when the container is to stop; raises when it is not what it should be."""
        start = self._patience.start
        try:
            async with asyncio.timeout(start):
                await self._meanwhile(self._come_up(door), reading, words)
        except TimeoutError as error:
            raise StartError(
                f"function {self.deployed.name!r}: nothing was ready on port "
                f"{self.deployed.settings.port} within {start:g} s{words}"
            ) from error
        if not self._stop.is_set():
            self._begin_service(door)
            await self._meanwhile(self._watch(door), reading, words)

    def _begin_service(self, door: Door) -> None:
        self._failure, self._was_up, self._door = None, True, door
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(door)
        if not self._users:
            self._start_timer()

    async def _meanwhile(
        self, work: Coroutine[Any, Any, None], reading: asyncio.Task[Exit], words: LastWords
    ) -> None:
        """Do the work, unless the container is to stop; raises StartError when it ends itself."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([task, reading, stop], return_when=asyncio.FIRST_COMPLETED)
            if task.done() and isinstance(task.exception(), EngineError):
                # The line has ended, a moment before the container: that one can say why.
                await asyncio.wait([reading], timeout=self._patience.stop)
            if reading.done():
                raise StartError(
                    f"function {self.deployed.name!r} {reading.result().describe()}, where a "
                    f"server goes on{words}"
                )
            if task.done():
                task.result()
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.wait([task, stop])

    async def _come_up(self, door: Door) -> None:
        await door.opened()
        await door.up()
        await self._well(door)

    async def _well(self, door: Door) -> None:
        """Wait until the program says that it is well, where it has a path for that."""
        path = self.deployed.settings.health
        pause = self._patience.first_pause
        while path is not None and await health.ailment(door, path) is not None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async def _watch(self, door: Door) -> None:
        """Ask for its health now and then; raises when it is not well any more."""
        path = self.deployed.settings.health
        ailing = 0
        if path is None:
            await self._stop.wait()
            return
        while True:
            await asyncio.sleep(self._patience.between_checks)
            ailment = await health.ailment(door, path)
            ailing = 0 if ailment is None else ailing + 1
            if ailing == health.TOLERATED:
                raise StartError(f"function {self.deployed.name!r} is not well: {ailment}")

    async def _end(self, container: Container, reading: asyncio.Task[Exit]) -> None:
        self._door = None
        await container.kill(signal.SIGTERM)
        await asyncio.wait([reading], timeout=self._patience.stop)

    def _function(self, door: Door) -> Function:
        """Return what runs: one container for all calls, so without what limits a single one."""
        function, port = self.deployed.function, self.deployed.settings.port
        limits = dataclasses.replace(function.limits, timeout=None, stdout=None)
        return dataclasses.replace(
            function,
            around=door.around(port),
            mounts=(*function.mounts, door.mount),
            env={"PORT": str(port), **function.env},
            limits=limits,
            concurrency=None,
            ready=None,
        )

    def _start_timer(self) -> None:
        self._stop_timer()
        if self._idle is not None and self._door is not None:
            self._timer = asyncio.get_running_loop().call_later(self._idle, self._rest)

    def _rest(self) -> None:
        """Stop the container; who comes from now on waits for the next one."""
        self._door = None
        self._stop.set()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _happens(event: asyncio.Event, *, within: float | None) -> bool:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _explained(error: UsageError) -> UsageError:
    if "bind source path" in str(error):
        return Unsupported(
            "mode http: the engine does not see this machine's directories, through which the "
            f"program is reached: {error}"
        )
    return error
