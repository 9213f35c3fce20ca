"""Work on many things at one time, with the results in the order of the things."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sized
from typing import Final, TypeVar

from wherry.streams.pulling import close, pulled

T = TypeVar("T")
R = TypeVar("R")


class _End:
    """Stands for the end of the items: StopAsyncIteration cannot be a task's result."""


_END: Final = _End()


async def in_order(
    work: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], *, places: int
) -> AsyncIterator[R]:
    """Do the work for each item, ``places`` of them at one time, and yield in their order.

    An item is pulled when there is room for it, and a result is yielded as soon as it is the
    next one, even while the next item lets itself be waited for. An error of the work or of the
    items ends the rest, and so does closing the iterator.
    """
    # Plain tasks, since a generator must not yield inside of a task group (PEP 789). All of
    # them are over when the generator is.
    source = aiter(items) if isinstance(items, AsyncIterable) else pulled(items)
    running: deque[asyncio.Task[R]] = deque()
    pull: asyncio.Task[T | _End] | None = None
    more = True
    try:
        while more or running:
            if more and pull is None and len(running) < places:
                pull = asyncio.create_task(_next(source))
            await _first_of(pull, running[0] if running else None)
            if pull is not None and pull.done():
                item = pull.result()
                pull = None
                if isinstance(item, _End):
                    more = False
                else:
                    running.append(asyncio.create_task(_done(work(item))))
            elif running[0].done():
                yield running.popleft().result()
    finally:
        await _end(*running, *([] if pull is None else [pull]))
        await close(source)


async def reported(
    results: AsyncIterator[R], items: object, *, progress: Callable[[int, int | None], None]
) -> AsyncIterator[R]:
    """Yield the results, and say before each how many there are, and of all where it is known."""
    total = len(items) if isinstance(items, Sized) else None
    done = 0
    try:
        async for result in results:
            done += 1
            progress(done, total)
            yield result
    finally:
        await close(results)


async def _next(source: AsyncIterator[T]) -> T | _End:
    return await anext(source, _END)


async def _done(work: Awaitable[R]) -> R:
    return await work


async def _first_of(*tasks: asyncio.Task[R] | None) -> None:
    await asyncio.wait(filter(None, tasks), return_when=asyncio.FIRST_COMPLETED)


async def _end(*tasks: asyncio.Task[R]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
