"""A thread with an event loop, and the way into it from all other threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from wherry.errors import EngineError, UsageError

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that an interrupted call has to clean up before its caller goes on without it."""


class _Call(Generic[T]):
    """One coroutine, and the answer that another thread waits for."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.answer: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def begin(self, group: asyncio.TaskGroup) -> asyncio.Task[None]:
        self._task = group.create_task(self._run())
        self._task.add_done_callback(lambda _: self._settle())
        return self._task

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def refuse(self) -> None:
        """Close a coroutine that never came as far as the loop."""
        self._work.close()

    async def _run(self) -> None:
        try:
            result = await self._work
        except asyncio.CancelledError:
            self.answer.set_exception(EngineError("the client was closed during the call"))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.answer.set_exception(error)
        else:
            self.answer.set_result(result)

    def _settle(self) -> None:
        """Answer for a task that was cancelled before its first step."""
        if not self.answer.done():
            self._work.close()
            self.answer.set_exception(EngineError("the client was closed before the call"))


class Portal:
    """Runs coroutines for callers that are not asynchronous, from any number of threads.

    The thread starts with the first call and is a daemon: :meth:`close` ends what runs in it.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        # Orders calls and the end: what is handed over comes before the end, or is refused.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._closed = False

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the portal's thread and return what it returns.

        An exception of this thread's own, such as KeyboardInterrupt, cancels the coroutine,
        waits until that has cleaned up, at most 30 s, and goes on. Raises :class:`UsageError`
        after :meth:`close`, after a fork, and in the portal's own thread.
        """
        call = _Call(work)
        loop: asyncio.AbstractEventLoop | None = None
        try:
            loop = self._hand_over(call)
            return call.answer.result()
        except BaseException:
            if loop is None:
                call.refuse()
            elif not call.answer.done():  # a signal has interrupted the wait, not the work
                loop.call_soon_threadsafe(call.cancel)
                concurrent.futures.wait([call.answer], timeout=PATIENCE)
            raise

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine that cleans up, also where :meth:`call` cannot be used.

        After :meth:`close` nothing is left to clean; in the portal's own thread, where garbage
        collection may call this, the work is only begun.
        """
        if self._closed or self._loop is None or self._process != os.getpid():
            work.close()
        elif self._thread is threading.current_thread():
            self._begin(_Call(work))
        else:
            self.call(work)

    def close(self) -> None:
        """Cancel what runs, wait for its end, and end the thread. Idempotent."""
        if self._process != os.getpid():
            return
        with self._lock:
            if self._loop is not None and not self._closed:
                self._loop.call_soon_threadsafe(self._end_all)
            self._closed = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _hand_over(self, call: _Call[Any]) -> asyncio.AbstractEventLoop:
        if self._process != os.getpid():
            raise UsageError("this client was made before a fork; make a new one in the child")
        if self._thread is threading.current_thread():
            raise UsageError("called from the client's own event loop; use AsyncClient there")
        with self._lock:
            if self._closed:
                raise UsageError("this client is closed")
            if self._loop is None:
                self._loop = self._open()
            self._ready.wait()
            self._loop.call_soon_threadsafe(self._begin, call)
            return self._loop

    def _open(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop,), name="wherry", daemon=True)
        thread.start()
        self._thread = thread
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_until_complete(self._serve())
            loop.run_until_complete(_end_everything())
        finally:
            loop.close()

    async def _serve(self) -> None:
        async with self._group:
            self._ready.set()
            await self._stop.wait()

    def _begin(self, call: _Call[Any]) -> None:
        task = call.begin(self._group)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _end_all(self) -> None:
        for task in self._calls:
            task.cancel()
        self._stop.set()


async def _end_everything() -> None:
    """Cancel what no call owns, such as blocks and processes that were never left."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
