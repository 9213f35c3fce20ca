"""Iterating what may block, without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")


async def close(stream: object) -> None:
    """Finish an iterator that will not be pulled to its end, so that its ``finally`` runs now."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()


def pulled(items: Iterable[T]) -> AsyncIterator[T]:
    """Iterate anything from a coroutine, one item at a time, and only when the next is wanted.

    A list or tuple is read in place. Anything else may block, so a thread of its own reads it;
    the thread is a daemon, since nobody can interrupt a blocked ``next()``.
    """
    if isinstance(items, list | tuple):
        return _each(items)
    iterator = iter(items)
    return threaded(lambda: next(iterator))


async def _each(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


async def threaded(pull: Callable[[], T]) -> AsyncIterator[T]:
    """Yield what a blocking function returns, until it raises StopIteration."""
    puller = _Puller(pull)
    try:
        while True:
            try:
                item = await puller.next()
            except _EndError:
                return
            yield item
    finally:
        puller.stop()


class _EndError(Exception):
    """A blocking iterator has ended: StopIteration cannot travel through a future."""


class _Puller(Generic[T]):
    """A daemon thread that calls one blocking function, each time it is asked to."""

    def __init__(self, pull: Callable[[], T]) -> None:
        self._pull = pull
        self._orders: SimpleQueue[asyncio.Future[T] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def next(self) -> T:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="wherry-input", daemon=True)
            self._thread.start()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.put(answer)
        return await answer

    def stop(self) -> None:
        self._orders.put(None)

    def _work(self) -> None:
        while (answer := self._orders.get()) is not None:
            item, error = self._attempt()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                answer.get_loop().call_soon_threadsafe(_settle, answer, item, error)

    def _attempt(self) -> tuple[T | None, BaseException | None]:
        try:
            return self._pull(), None
        except StopIteration:
            return None, _EndError()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            return None, error


def _settle(answer: asyncio.Future[T], item: T | None, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(cast("T", item))
