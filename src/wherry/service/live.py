"""A call while it runs, as its trigger sees it."""

from __future__ import annotations

import signal as signals
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from wherry.errors import WherryError
from wherry.models import Exit
from wherry.service.call import STDERR_TAIL

if TYPE_CHECKING:
    from wherry.engines.base import Container, Event, Stdin
    from wherry.models import Output
    from wherry.service.call import Call, Observer


class CallerLeft(WherryError):
    """Whoever asked for the call went away before it ended."""


class LiveCall:
    """A running call: iterate it once for its output and, last, its :class:`Exit`.

    What goes through is noted in :attr:`call`. A trigger that answers says so with
    :meth:`finish`, before the last of its answer goes out.
    """

    def __init__(
        self,
        call: Call,
        container: Container,
        *,
        observer: Observer,
        over: Callable[[], None],
    ) -> None:
        """``over`` is called once the program has ended, while its container may still be there."""
        self.call = call
        self._container = container
        self._events = aiter(container)
        self._observer = observer
        self._over = over

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await anext(self._events)
        if isinstance(event, Exit):
            self.call.exit = event
            self._over()
        else:
            self._note(event)
        return event

    def finish(self, status: int | None = None) -> None:
        """Say that the call is over, and with which status it is answered: it goes on record."""
        if self.call.status is None:
            self.call.status = status
        conclude(self.call, self._observer)

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to the program; see :meth:`wherry.engines.base.Container.kill`."""
        await self._container.kill(signal)

    def _note(self, output: Output) -> None:
        call = self.call
        if call.first_byte is None:
            call.first_byte = time.time()
        if output.stream == "stdout":
            call.stdout_bytes += len(output.data)
        else:
            call.stderr_tail += output.data[-STDERR_TAIL:]
            del call.stderr_tail[:-STDERR_TAIL]
        self._observer.wrote(call, output)


def conclude(call: Call, observer: Observer) -> None:
    """Tell observers, once, that a call is over."""
    if call.ended is None:
        call.ended = time.time()
        observer.ended(call)


class CountedStdin:
    """A source that notes in its call how much was taken from it."""

    def __init__(self, source: Stdin, call: Call) -> None:
        self._source = aiter(source)
        self._call = call

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._source)
        self._call.stdin_bytes += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Leave the source."""
        if (close := getattr(self._source, "aclose", None)) is not None:
            await close()
