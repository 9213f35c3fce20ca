"""The synchronous client: a thin facade of :class:`wherry.client.AsyncClient`."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - registers its own end first, so it comes last
import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from wherry import streams
from wherry.client import AsyncClient, BoundFunction, Inputs, Progress
from wherry.config import settings
from wherry.engines import connect
from wherry.sync.live import LiveContainer, live
from wherry.sync.portal import Portal
from wherry.sync.process import SyncProcess

if TYPE_CHECKING:
    from wherry.engines.base import Engine
    from wherry.models import Function, Result
    from wherry.options import Options
    from wherry.pipeline import PipelineResult
    from wherry.process import Source, Target

T = TypeVar("T")

_open: WeakSet[Client] = WeakSet()
"""The clients of this process that may have to be closed when Python exits."""


class Client:
    """Calls images, and functions that were declared, on one engine.

    One background thread runs an :class:`AsyncClient`; any number of threads may call at one
    time. Ctrl-C cancels the call it interrupts, and comes out when that has cleaned up. Leaving
    the ``with`` block, or :meth:`close`, ends what still runs. A client does not survive a fork.
    """

    def __init__(self, engine: Engine, *, functions: Iterable[Function] = ()) -> None:
        self._client = AsyncClient(engine, functions=functions)
        self._portal = Portal()
        _open.add(self)

    @classmethod
    def from_env(cls, *, functions: Iterable[Function] = ()) -> Self:
        """Return a client of the engine that ``WHERRY_ENGINE`` names, by default ``local``.

        Raises :class:`UsageError` for a name that does not exist.
        """
        return cls(connect(settings().engine), functions=functions)

    @property
    def asynchronous(self) -> AsyncClient:
        """The client that does the work, to be used in the :attr:`portal` alone."""
        return self._client

    @property
    def portal(self) -> Portal:
        """The thread that the work is done in."""
        return self._portal

    @property
    def functions(self) -> Mapping[str, Function]:
        """The declared functions, by name."""
        return self._client.functions

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs, the engine and the thread. Idempotent."""
        try:
            self._portal.finish(self._client.aclose())
        finally:
            self._portal.close()

    def prepare(self, image: str | Function, **options: Unpack[Options]) -> None:
        """Do what a first call would wait for; see :meth:`AsyncClient.prepare`."""
        self._portal.call(self._client.prepare(image, **options))

    @overload
    def run(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,
        text: Literal[True] = True,
        **options: Unpack[Options],
    ) -> str: ...

    @overload
    def run(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,
        text: Literal[False],
        **options: Unpack[Options],
    ) -> bytes: ...

    def run(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        text: bool = True,
        **options: Unpack[Options],
    ) -> str | bytes:
        """Call an image and return its stdout; see :meth:`AsyncClient.run`."""
        if text:
            return self._portal.call(self._client.run(image, args, input=input, **options))
        return self._portal.call(self._client.run(image, args, input=input, text=False, **options))

    def invoke(
        self,
        function: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Call a declared function; see :meth:`AsyncClient.invoke`."""
        return self._portal.call(self._client.invoke(function, args, input=input, env=env))

    def start(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        **options: Unpack[Options],
    ) -> AbstractContextManager[LiveContainer]:
        """Start a container and yield it live; see :meth:`AsyncClient.start`."""
        return live(self._portal, lambda: self._client.start(image, args, input=input, **options))

    def popen(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        stdin: Source = None,
        stdout: Target = None,
        stderr: Target = None,
        **options: Unpack[Options],
    ) -> SyncProcess:
        """Start a container and return it as a process; see :meth:`AsyncClient.popen`."""
        process = self._client.popen(
            image, args, stdin=stdin, stdout=stdout, stderr=stderr, **options
        )
        return SyncProcess(self._portal, self._portal.call(process))

    def pipe(
        self,
        *stages: str | Function | SyncFunction,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
    ) -> PipelineResult:
        """Call functions, each one's stdout the next one's stdin; see :meth:`AsyncClient.pipe`."""
        return self._portal.call(
            self._client.pipe(*[_plain(stage) for stage in stages], input=input)
        )

    def start_pipe(
        self,
        *stages: str | Function | SyncFunction,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
    ) -> AbstractContextManager[LiveContainer]:
        """Start a pipeline and yield it live; see :meth:`AsyncClient.start_pipe`."""
        plain = [_plain(stage) for stage in stages]
        return live(self._portal, lambda: self._client.start_pipe(*plain, input=input))

    def map(
        self,
        function: str | Function | SyncFunction,
        inputs: Inputs,
        *,
        concurrency: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Result]:
        """Call a function for each input, in order; see :meth:`AsyncClient.map`.

        ``inputs`` is iterated by a thread of its own, ``progress`` called in the client's.
        """
        results = self._client.map(
            _plain(function), inputs, concurrency=concurrency, progress=progress
        )
        return self._each(results)

    def function(
        self, image: str, command: Sequence[str] = (), **options: Unpack[Options]
    ) -> SyncFunction:
        """Return a function that is called like one of Python's."""
        return SyncFunction(self, self._client.function(image, command, **options))

    def _each(self, results: AsyncIterator[T]) -> Iterator[T]:
        try:
            while (result := self._portal.call(_next(results))) is not None:
                yield result
        finally:
            self._portal.finish(streams.close(results))


class SyncFunction:
    """A function and the client that calls it: ``shout("hi")`` is ``"HI"``."""

    def __init__(self, client: Client, bound: BoundFunction) -> None:
        self.function = bound.function
        self._client = client

    @property
    def client(self) -> Client:
        """The client that calls it."""
        return self._client

    def __call__(
        self,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        *,
        args: Sequence[str] = (),
    ) -> str:
        """Call it and return its stdout as text; raises as :meth:`Client.run` does."""
        return self.invoke(input, args=args).check().text

    def invoke(
        self,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Call it and return the result, whatever its exit code."""
        return self._client.invoke(self.function, args, input=input, env=env)

    def map(
        self,
        inputs: Inputs,
        *,
        concurrency: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Result]:
        """Call it for each input; see :meth:`Client.map`."""
        return self._client.map(self, inputs, concurrency=concurrency, progress=progress)


def _plain(function: str | Function | SyncFunction) -> str | Function:
    return function.function if isinstance(function, SyncFunction) else function


async def _next(results: AsyncIterator[T]) -> T | None:
    return await anext(results, None)


def _close_all() -> None:
    with ExitStack() as all_of_them:
        for client in tuple(_open):
            all_of_them.callback(client.close)


os.register_at_fork(after_in_child=_open.clear)
# At "atexit" it is too late: no thread pool takes work any more, which an engine may need to
# clean up. The earlier hook is what thread pools themselves use; it has no public name.
getattr(threading, "_register_atexit", atexit.register)(_close_all)
