"""A container of a server, as its caller holds it."""

from __future__ import annotations

import asyncio
import logging
import signal as signals
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from wherry.engines.feeding import Feeder
from wherry.engines.remote import protocol
from wherry.engines.remote.link import failing
from wherry.engines.remote.protocol import Frames, frame, read_error, read_exit
from wherry.errors import EngineError, WherryError
from wherry.models import CHUNK, Output

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin
    from wherry.engines.remote.link import Link
    from wherry.engines.remote.requests import Requests

_CLOSING = 60.0
"""Seconds in which a server has removed a container."""
_log = logging.getLogger(__name__)


class RemoteContainer:
    """Implements :class:`wherry.engines.base.Container`."""

    def __init__(self, id: str, link: Link, *, requests: Requests) -> None:  # noqa: A002
        self.id = id
        self._link = link
        self._requests = requests
        self._frames = Frames()
        self._events: deque[Event] = deque()
        self._finished = False
        self._done = False
        """Whether the server has said its last word."""
        self._started = False
        self._feeder: Feeder | None = None
        self._failure: EngineError | None = None

    # ---- events --------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._finished:
                raise StopAsyncIteration
            await self._receive()
        return self._events.popleft()

    async def started(self) -> None:
        """Wait until the program has been started; raises what is in the way."""
        while not self._started:
            await self._receive()

    async def _receive(self) -> None:
        with failing(f"reading from call {self.id}", address=self._requests.address):
            data = await self._link.piece()
            if not data:
                raise EOFError("the connection was cut")
            for kind, payload in self._frames.feed(data):
                self._take(kind, payload)

    def _take(self, kind: bytes, payload: bytes) -> None:
        match kind:
            case protocol.STARTED:
                self._started = True
            case protocol.STDOUT:
                self._events.append(Output("stdout", payload))
            case protocol.STDERR:
                self._events.append(Output("stderr", payload))
            case protocol.EXIT:
                self._finished = True
                self._raise_failure()
                self._events.append(read_exit(payload))
            case protocol.PING:
                pass
            case protocol.DONE:
                self._done = True
            case protocol.FAILED:
                self._done = True
                if not self._finished:
                    self._raise_failure()
                    raise read_error(payload, where=f"engine {self._requests.address}")
            case _:
                raise protocol.Garbled(f"a frame {kind!r} that only clients send")

    def _raise_failure(self) -> None:
        if error := self.take_source_error():
            raise error
        if self._failure is not None:
            raise self._failure

    # ---- input ---------------------------------------------------------------------------

    def feed(self, source: Stdin) -> None:
        """Send what a source yields, until it ends or nobody wants it any more."""
        self._feeder = Feeder(source, write=self._write, end=self._end, failed=self._source_failed)

    def take_source_error(self) -> BaseException | None:
        """Return what the stdin source raised, unless somebody has been told already."""
        if self._feeder is None:
            return None
        error, self._feeder.error = self._feeder.error, None
        return error

    async def _write(self, data: bytes) -> bool:
        for start in range(0, len(data), CHUNK):
            if not await self._send(frame(protocol.INPUT, data[start : start + CHUNK])):
                return False
        return True

    async def _end(self) -> None:
        error = self._feeder.error if self._feeder is not None else None
        if error is None and not self._finished:
            await self._send(frame(protocol.END))

    async def _send(self, data: bytes) -> bool:
        try:
            with failing(f"sending to call {self.id}", address=self._requests.address):
                await self._link.write(data)
        except EngineError as error:
            # Reading tells what became of the call; without a word, this is why.
            self._failure = self._failure or error
            return False
        return True

    async def _source_failed(self) -> None:
        try:
            await self.kill()
        except EngineError as error:
            self._failure = self._failure or error
            self._link.close()

    # ---- the end -------------------------------------------------------------------------

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to the program. Harmless if it has already exited."""
        if not self._finished:
            await self._requests.kill(self.id, signal=signal)

    async def close(self) -> None:
        """Have the container removed, if it is not, and drop the connection; bounded in time."""
        try:
            async with asyncio.timeout(_CLOSING):
                await self._leave()
        except (WherryError, TimeoutError) as error:
            _log.warning(
                "a server did not say that a container is removed",
                extra={"call": self.id, "reason": str(error) or "no answer in time"},
            )
        finally:
            self._link.close()
            if self._feeder is not None:
                await self._feeder.stop()
            await self._link.wait_closed()

    async def _leave(self) -> None:
        if not self._finished and not self._done:
            await self._requests.leave(self.id)
            return
        while not self._done:
            await self._receive()
