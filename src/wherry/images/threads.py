"""Blocking work beside the event loop, with cancellation that leaves nothing half-way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function in a worker thread; a cancellation waits for the call to end.

    For short calls: what they work on stays in use until they return.
    """
    call = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        call.exception()  # taken note of, so that it is not reported as forgotten
        raise cancelled
    return call.result()


@asynccontextmanager
async def entered(block: AbstractContextManager[_T]) -> AsyncIterator[_T]:
    """Enter a context manager whose entry may wait for ever, such as for a lock.

    It waits in a thread of its own, so that many of them cannot use up the pool; a
    cancellation does not wait, and the block is left as soon as it was entered.
    """
    value = await _enter(block)
    error: BaseException | None = None
    try:
        yield value
    except BaseException as caught:
        error = caught
        raise
    finally:
        kind = type(error) if error else None
        await in_thread(block.__exit__, kind, error, error.__traceback__ if error else None)


async def _enter(block: AbstractContextManager[_T]) -> _T:
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()
    lock = threading.Lock()
    abandoned = handed_over = False

    def settle(value: _T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(cast("_T", value))
        else:
            outcome.set_exception(error)

    def work() -> None:
        nonlocal handed_over
        value, error = _attempt(block)
        with lock:
            if not abandoned:
                handed_over = error is None
                loop.call_soon_threadsafe(settle, value, error)
                return
        if error is None:
            block.__exit__(None, None, None)

    threading.Thread(target=work, name="wherry-lock", daemon=True).start()
    try:
        return await outcome
    except asyncio.CancelledError:
        with lock:
            abandoned = True
        if handed_over:
            await in_thread(block.__exit__, None, None, None)
        raise


def _attempt(block: AbstractContextManager[_T]) -> tuple[_T | None, BaseException | None]:
    try:
        return block.__enter__(), None
    except BaseException as error:  # noqa: BLE001
        return None, error  # to be raised where it is waited for
