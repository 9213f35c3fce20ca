"""Feeding a container's stdin from its source, apart from reading its output."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.base import Stdin


class Feeder:
    """Pulls a source into a sink, chunk by chunk, until either ends.

    ``write`` returns False when the program no longer reads; ``end`` is the half-close. An
    error of the source is kept in ``error`` after ``failed`` was awaited with nothing written
    after it; an error of the sink is the engine's own and is raised by :meth:`stop`.
    """

    def __init__(
        self,
        source: Stdin,
        *,
        write: Callable[[bytes], Awaitable[bool]],
        end: Callable[[], Awaitable[None]],
        failed: Callable[[], Awaitable[None]],
    ) -> None:
        self._source = source
        self._write = write
        self._end = end
        self._failed = failed
        self.error: BaseException | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def is_over(self) -> bool:
        """Whether :meth:`stop` would neither wait nor raise."""
        task = self._task
        return task.done() and not task.cancelled() and task.exception() is None

    async def stop(self) -> None:
        """Stop pulling and wait until the source has been left."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    async def _run(self) -> None:
        try:
            await self._pump()
        finally:
            await self._end()

    async def _pump(self) -> None:
        source = aiter(self._source)
        try:
            while (chunk := await self._pull(source)) is not None:
                if chunk and not await self._write(chunk):
                    return
                # A source that never waits must not keep everything else from running.
                await asyncio.sleep(0)
        finally:
            if (close := getattr(source, "aclose", None)) is not None:
                await close()

    async def _pull(self, source: object) -> bytes | None:
        try:
            return await anext(source)  # type: ignore[call-overload,no-any-return]
        except StopAsyncIteration:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a source raises is its reader's
            self.error = error
            await self._failed()
            return None
