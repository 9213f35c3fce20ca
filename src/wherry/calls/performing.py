"""Making a call of the queue: how it is run, and what is known of that."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wherry.models import Exit
from wherry.service.outcome import status_of_exit

if TYPE_CHECKING:
    from wherry.calls.model import QueuedRequest
    from wherry.functions.model import Deployed
    from wherry.service.call import Call, Observer, Trigger
    from wherry.service.live import LiveCall

Write = Callable[[bytes], Awaitable[None]]
"""Takes bytes of the result."""


@dataclass(slots=True)
class Run:
    """What is known of one run of a call, filled in as it goes on."""

    call: Call | None = None
    """None until it has a container, and for a function that keeps one."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds that the function itself asks to wait for before the next try."""


class Body(Protocol):
    """The body of a request that was queued."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Performer(Protocol):
    """Runs a call of a function of some mode."""

    async def __call__(
        self,
        deployed: Deployed,
        request: QueuedRequest,
        *,
        body: Body,
        run: Run,
        write: Write,
    ) -> None:
        """Make the call to its end, and note in ``run`` what came of it.

        Raises what :meth:`wherry.service.service.FunctionService.call` does, and what ``write``
        raises, after the call was ended.
        """
        ...


class Service(Protocol):
    """What the queue asks of a :class:`wherry.service.service.FunctionService`."""

    def find(self, name: str) -> Deployed:
        """Return a function; raises :class:`wherry.errors.NotFound`."""
        ...

    def running(self, deployed: Deployed) -> int:
        """Return how many calls of a function run."""
        ...

    def add_observer(self, observer: Observer) -> None:
        """Tell one more observer of every call."""
        ...

    def call(
        self,
        deployed: Deployed,
        stdin: AsyncIterable[bytes],
        *,
        trigger: Trigger,
        id: str | None = ...,  # noqa: A002 - as there
        args: Sequence[str] = ...,
        env: Mapping[str, str] = ...,
        timeout: float | None = ...,
    ) -> AbstractAsyncContextManager[LiveCall]:
        """Call a function."""
        ...


class StdioPerformer:
    """Calls a plain program: the body is its stdin, its stdout is the result."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(
        self,
        deployed: Deployed,
        request: QueuedRequest,
        *,
        body: Body,
        run: Run,
        write: Write,
    ) -> None:
        """See :class:`Performer`."""
        async with self._service.call(
            deployed,
            body,
            trigger="async",
            id=request.id,
            args=request.args,
            env=request.env,
            timeout=request.timeout,
        ) as live:
            run.call = live.call
            async for event in live:
                if isinstance(event, Exit):
                    run.status = status_of_exit(event)
                    live.finish(run.status)
                elif event.stream == "stdout":
                    await write(event.data)
