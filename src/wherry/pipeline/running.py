"""Running containers of which each one reads what the one before it writes."""

from __future__ import annotations

import asyncio
import logging
import signal as signals
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from wherry.errors import EngineError
from wherry.models import Exit, Output
from wherry.pipeline.joint import Input, Joint
from wherry.streams import Tail

if TYPE_CHECKING:
    from wherry.engines.base import Event

_log = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds from SIGPIPE to SIGKILL, for a stage whose output nobody reads any more."""


class Running(Protocol):
    """What a pipeline needs of a container."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Yield its output, then its exit."""
        ...

    async def kill(self, signal: int = ...) -> None:
        """Send it a signal."""
        ...


Start = Callable[[AsyncIterable[bytes]], AbstractAsyncContextManager[Running]]
"""Starts one stage with this stdin."""


class Link:
    """One stage of a pipeline."""

    def __init__(
        self, start: Start, *, stdin: AsyncIterable[bytes], before: Joint[bytes] | None
    ) -> None:
        self.exit: Exit | None = None
        """None until it ends."""
        self.cut = False
        """Whether it was ended because the stages after it read no further."""
        self.stderr = Tail()
        self.began = 0.0
        self.ended = 0.0
        """Both in the event loop's own seconds."""
        self.start = start
        self.stdin = stdin
        self.before = before
        self.after: Joint[bytes] | None = None
        """None: its stdout is that of the pipeline."""
        self.container: Running | None = None
        self.insisting: asyncio.Task[None] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it has ended as it should."""
        return self.exit is not None and (self.exit.ok or self.cut)

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal, if it runs."""
        if self.container is not None and self.exit is None:
            await self.container.kill(signal)


class Pipeline:
    """Several containers as one: stdout of the last, stderr of all, and one :class:`Exit`.

    Nothing lies between two stages but one chunk, so a slow stage slows those before it. The
    first stage that fails ends all others, none of which ever sees an end of its stdin that is
    not the end: what was cut off cannot be taken for complete. The Exit is then that of the
    stage that failed. A stage whose output nobody reads any more, because the next one has
    ended or closed its stdin, is ended by SIGPIPE when it next writes, or when the last stage
    has ended and it waits for the caller's input; that is no failure.
    """

    def __init__(
        self,
        starts: Sequence[Start],
        stdin: AsyncIterable[bytes],
        *,
        id: str,  # noqa: A002
    ) -> None:
        self.id = id
        self.links: list[Link] = []
        self._input = Input(stdin, unwanted=self._is_unwanted)
        joint: Joint[bytes] | None = None
        for start in starts:
            link = Link(start, stdin=self._input if joint is None else joint, before=joint)
            joint = link.after = Joint()
            self.links.append(link)
        self.links[-1].after = None
        self.failed: Link | None = None
        """The first stage that failed."""
        self._output: Joint[Output] = Joint()
        self._told = False
        self._standing = 0
        self._all_stand = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._kills: set[asyncio.Task[None]] = set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._told:
            raise StopAsyncIteration
        try:
            return await anext(self._output)
        except StopAsyncIteration:
            assert self._work is not None
            self._told = True
            await self._work
            return self._exit()

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to every stage. Harmless after the end."""
        for link in self.links:
            await link.kill(signal)

    async def stand(self) -> None:
        """Start everything, and wait until all of it has started; raises what keeps one from it."""
        self._work = asyncio.create_task(self._run_all())
        standing = asyncio.create_task(self._all_stand.wait())
        try:
            await asyncio.wait([self._work, standing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            standing.cancel()
            await asyncio.gather(standing, return_exceptions=True)
        if not self._all_stand.is_set():
            self._told = True
            await self._work

    async def leave(self) -> None:
        """End what still runs; a cancellation meanwhile comes out when that is done."""
        work = self._work
        if work is None:
            return
        work.cancel()
        await _ended(work)
        if not self._told and not work.cancelled() and (error := work.exception()) is not None:
            _log.error("leaving a pipeline failed", exc_info=error)

    async def _run_all(self) -> None:
        """Run the stages to their end; the first error ends the others and comes out as itself."""
        tasks = [asyncio.create_task(self._run(link)) for link in self.links]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, *self._kills):
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.gather(*self._kills, return_exceptions=True)
            self._output.end()

    async def _run(self, link: Link) -> None:
        clock = asyncio.get_running_loop().time
        link.began = clock()
        async with link.start(link.stdin) as container:
            link.container = container
            self._stands()
            if self.failed is not None:
                await container.kill()
            async for event in container:
                if isinstance(event, Exit):
                    link.exit, link.ended = event, clock()
                    await self._ended(link)
                else:
                    await self._pass_on(link, event)
        if link.exit is None:
            raise EngineError("the events of a stage ended without an exit")

    def _stands(self) -> None:
        self._standing += 1
        if self._standing == len(self.links):
            self._all_stand.set()

    async def _pass_on(self, link: Link, output: Output) -> None:
        if output.stream == "stderr":
            link.stderr.add(output.data)
            await self._output.put(output)
        elif link.after is None:
            await self._output.put(output)
        elif not await link.after.put(output.data):
            await self._cut(link)

    async def _ended(self, link: Link) -> None:
        if link.before is not None:
            await link.before.aclose()
        if not link.succeeded:
            await self._fail(link)
        elif link.after is not None:
            link.after.end()
        elif self._input.is_awaited:
            await self._cut_rest()

    async def _fail(self, link: Link) -> None:
        if self.failed is None:
            self.failed = link
            for other in self.links:
                await other.kill()

    async def _cut(self, link: Link) -> None:
        """End a stage as a shell's is that writes into a pipe without a reader."""
        if link.cut or link.exit or link.container is None or self.failed:
            return
        link.cut = True
        await link.kill(signals.SIGPIPE)
        self._kills.add(asyncio.create_task(self._insist(link)))

    async def _cut_rest(self) -> None:
        for link in self.links:
            await self._cut(link)

    async def _insist(self, link: Link) -> None:
        await asyncio.sleep(GRACE)
        await link.kill()

    def _is_unwanted(self) -> bool:
        if self.links[-1].exit is None:
            return False
        self._kills.add(asyncio.create_task(self._cut_rest()))
        return True

    def _exit(self) -> Exit:
        last = (self.failed or self.links[-1]).exit
        assert last is not None
        return last


async def _ended(work: asyncio.Task[None]) -> None:
    """Wait for a task that engines end in bounded time, even when we are cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


@asynccontextmanager
async def pipeline(
    starts: Sequence[Start],
    stdin: AsyncIterable[bytes],
    *,
    id: str,  # noqa: A002
) -> AsyncIterator[Pipeline]:
    """Start a pipeline of stages; leaving the block in any way ends and removes all of them.

    Raises what any of the starts raises, after the others were ended.
    """
    made = Pipeline(starts, stdin, id=id)
    try:
        await made.stand()
        yield made
    finally:
        await made.leave()
