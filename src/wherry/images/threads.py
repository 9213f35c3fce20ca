"""Blocking work beside the event loop, with cancellation that leaves nothing half-way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar

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
    value = await detached(block.__enter__, undo=lambda _: block.__exit__(None, None, None))
    error: BaseException | None = None
    try:
        yield value
    except BaseException as caught:
        error = caught
        raise
    finally:
        kind = type(error) if error else None
        await in_thread(block.__exit__, kind, error, error.__traceback__ if error else None)


async def detached(call: Callable[[], _T], *, undo: Callable[[_T], object]) -> _T:
    """Call a function that may take for ever, in a thread of its own, which nobody waits for.

    A cancellation comes out at once; what the call returns later is given to ``undo``. The end
    of the process does not wait for the thread either.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()
    lock = threading.Lock()
    abandoned = handed_over = False
    returned: list[_T] = []

    def settle(error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(returned[0])
        else:
            outcome.set_exception(error)

    def work() -> None:
        nonlocal handed_over
        error = _attempt(call, returned)
        with lock:
            if not abandoned:
                handed_over = True
                loop.call_soon_threadsafe(settle, error)
                return
        for value in returned:
            undo(value)

    threading.Thread(target=work, name="wherry-detached", daemon=True).start()
    try:
        return await outcome
    except asyncio.CancelledError:
        with lock:
            abandoned = True
        for value in returned if handed_over else []:
            await in_thread(undo, value)
        raise


def _attempt(call: Callable[[], _T], returned: list[_T]) -> BaseException | None:
    try:
        returned.append(call())
    except BaseException as error:  # noqa: BLE001
        return error  # to be raised where it is waited for
    return None
