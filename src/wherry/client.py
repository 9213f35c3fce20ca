"""What callers hold: functions and one engine."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Literal, Self, Unpack, overload

from wherry import streams
from wherry.config import settings
from wherry.engines import connect
from wherry.engines.base import ReadyEngine
from wherry.errors import UsageError
from wherry.models import Function, Invocation, Result, new_id
from wherry.names import nearest
from wherry.options import Options, build_function, override
from wherry.options.fields import words
from wherry.pipeline import Pipeline, PipelineResult, collect, pipeline
from wherry.process import Process, Source, Target
from wherry.wrappers.deadline import Deadline
from wherry.wrappers.limit import Limit
from wherry.wrappers.pool import Pool

if TYPE_CHECKING:
    from wherry.engines.base import Container, Engine, Usage
    from wherry.wrappers.berth import PoolStats

Inputs = Iterable[streams.Input] | AsyncIterable[streams.Input]
Progress = Callable[[int, int | None], None]
"""Called with the number of results so far, and of all of them where that is known."""


class AsyncClient:
    """Calls images, and functions that were declared, on one engine.

    Leaving its ``async with`` block, or :meth:`aclose`, ends what still runs. ``image`` may be a
    :class:`Function` wherever it is asked for; options then change that one call of it.
    """

    def __init__(self, engine: Engine, *, functions: Iterable[Function] = ()) -> None:
        declared = tuple(functions)
        # An engine that cannot keep containers ready makes every call cold: slower, not wrong.
        self._pool = Pool(engine) if isinstance(engine, ReadyEngine) else None
        self._engine = Deadline(Limit(self._pool or engine))
        self._functions = {function.name: function for function in declared}
        self._processes: set[Process] = set()
        if len(self._functions) < len(declared):
            raise UsageError("functions: two of them have the same name")

    @classmethod
    def from_env(cls, *, functions: Iterable[Function] = ()) -> Self:
        """Return a client of the engine that ``WHERRY_ENGINE`` names, by default ``local``.

        Raises :class:`UsageError` for a name that does not exist.
        """
        return cls(connect(settings().engine), functions=functions)

    @property
    def functions(self) -> Mapping[str, Function]:
        """The declared functions, by name."""
        return MappingProxyType(self._functions)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what still runs and close the engine. Idempotent."""
        try:
            await asyncio.gather(*(process.aclose() for process in self._processes))
        finally:
            await self._engine.aclose()

    async def prepare(self, image: str | Function, **options: Unpack[Options]) -> None:
        """Do what a first call would wait for, such as pulling the image.

        Raises as :meth:`wherry.engines.base.Engine.prepare` does.
        """
        await self._engine.prepare(_function(image, options=options))

    @overload
    async def run(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,
        text: Literal[True] = True,
        **options: Unpack[Options],
    ) -> str: ...

    @overload
    async def run(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,
        text: Literal[False],
        **options: Unpack[Options],
    ) -> bytes: ...

    async def run(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        text: bool = True,
        **options: Unpack[Options],
    ) -> str | bytes:
        """Call an image and return what it wrote to stdout, as text or, on demand, bytes.

        Raises :class:`FunctionError`, with all its output, when it did not end with exit code 0;
        :class:`EngineError` when the engine failed; :class:`UsageError`, or :class:`TypeError`
        for an unknown option, before anything starts.
        """
        result = await self._call(_invocation(image, args, options=options), input)
        return result.check().text if text else result.check().stdout

    async def invoke(
        self,
        function: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Call a declared function and return its result, whatever its exit code.

        Text is the name of a declared function and never that of an image. Raises
        :class:`UsageError` for one that does not exist, :class:`EngineError` when the engine
        failed.
        """
        declared = self._declared(function) if isinstance(function, str) else _bare(function)
        invocation = Invocation(function=declared, args=words(args, name="args"), env=env or {})
        return await self._call(invocation, input)

    def start(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        **options: Unpack[Options],
    ) -> AbstractAsyncContextManager[Container]:
        """Start a container and yield it live; leaving the block ends it.

        See :class:`wherry.engines.base.Container`; raises as
        :meth:`wherry.engines.base.Engine.start` does.
        """
        invocation = _invocation(image, args, options=options)
        return self._engine.start(invocation, streams.source(input))

    def call(
        self,
        invocation: Invocation,
        stdin: AsyncIterable[bytes] = streams.NOTHING,
        *,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Container]:
        """Start a container for an invocation that was made elsewhere; else as :meth:`start`.

        ``timeout``, in seconds from now, stands in for the function's own: calls of one function
        with timeouts of their own share its ready containers.
        """
        return self._engine.start(invocation, stdin, timeout=timeout)

    @property
    def pool_stats(self) -> Mapping[str, PoolStats]:
        """How the ready containers of each function did, by its name."""
        return self._pool.stats if self._pool else {}

    async def usage(self, name: str) -> Sequence[Usage]:
        """Return what each container of a function takes; nothing if the engine does not tell."""
        return await self._engine.usage(name)

    @property
    def can_keep_ready(self) -> bool:
        """Whether the engine can keep containers ready."""
        return self._pool is not None

    def define_ready(self, function: Function) -> None:
        """Keep ready what ``function.ready`` says from now on, without waiting for it."""
        if self._pool is not None:
            self._pool.define(function)

    async def forget(self, name: str) -> None:
        """Give up the ready containers of a function that is no more."""
        if self._pool is not None:
            await self._pool.forget(name)

    async def popen(
        self,
        image: str | Function,
        args: Sequence[str] = (),
        *,
        stdin: Source = None,
        stdout: Target = None,
        stderr: Target = None,
        **options: Unpack[Options],
    ) -> Process:
        """Start a container and return it as a process; see :class:`wherry.process.Process`.

        Raises as :meth:`start` does. The container runs until it ends or is closed.
        """
        process = Process(
            self._engine,
            _invocation(image, args, options=options),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        await process.start()
        process.add_done_callback(self._processes.discard)
        self._processes.add(process)
        return process

    async def pipe(
        self,
        *stages: str | Function | BoundFunction,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
    ) -> PipelineResult:
        """Call functions at one time, each one's stdout streamed into the next one's stdin.

        A stage is a function, or the name of a declared one. Nothing but the last one's stdout
        is kept. The first that fails ends all others; one whose output is read no further, as
        before ``head``, is ended too, and that is no failure. Raises :class:`UsageError` for a
        function that does not exist, :class:`EngineError` when the engine failed.
        """
        invocations = self._stages(stages)
        async with self._piped(invocations, input) as running:
            return await collect(running, invocations)

    def start_pipe(
        self,
        *stages: str | Function | BoundFunction,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
    ) -> AbstractAsyncContextManager[Pipeline]:
        """Start what :meth:`pipe` calls and yield it live; leaving the block ends all of it.

        Its events are those of one container: stdout of the last stage, stderr of all, an exit.
        """
        return self._piped(self._stages(stages), input)

    def map(
        self,
        function: str | Function | BoundFunction,
        inputs: Inputs,
        *,
        concurrency: int | None = None,
        progress: Progress | None = None,
    ) -> AsyncIterator[Result]:
        """Call a function for each input and yield the results in the order of the inputs.

        At most ``concurrency`` calls (twice the number of CPUs by default) are in flight or wait
        to be taken, and no input is pulled before there is room for it. A result may be a failed
        one; what raises is the engine or ``inputs``, and it ends the other calls.
        """
        if isinstance(inputs, str | bytes):
            raise UsageError(f"inputs: {inputs!r:.80} is one input; write a list of them")
        declared = self._one(function)
        places = 2 * (os.cpu_count() or 1) if concurrency is None else concurrency
        if places < 1:
            raise UsageError(f"concurrency: {concurrency!r} must be a whole number from 1")
        results = streams.in_order(
            lambda item: self.invoke(declared, input=item), inputs, places=places
        )
        return results if progress is None else streams.reported(results, inputs, progress=progress)

    def function(
        self, image: str, command: Sequence[str] = (), **options: Unpack[Options]
    ) -> BoundFunction:
        """Return a function that is called like one of Python's."""
        return BoundFunction(self, build_function(image, command, options=options))

    def _stages(self, stages: Sequence[str | Function | BoundFunction]) -> list[Invocation]:
        if not stages:
            raise UsageError("a pipeline needs at least one function")
        return [Invocation(function=self._one(stage)) for stage in stages]

    def _piped(
        self, invocations: Sequence[Invocation], data: streams.Input
    ) -> AbstractAsyncContextManager[Pipeline]:
        starts = [functools.partial(self._engine.start, each) for each in invocations]
        return pipeline(starts, streams.source(data), id=new_id())

    def _one(self, function: str | Function | BoundFunction) -> Function:
        if isinstance(function, BoundFunction):
            return function.function
        return self._declared(function) if isinstance(function, str) else _bare(function)

    def _declared(self, name: str) -> Function:
        try:
            return self._functions[name]
        except KeyError:
            hint = nearest(name, self._functions)
            raise UsageError(f"there is no function {name!r}{hint}") from None

    async def _call(self, invocation: Invocation, data: streams.Input) -> Result:
        begun = time.monotonic()
        async with self._engine.start(invocation, streams.source(data)) as container:
            collected = await streams.collect(container)
        function = invocation.function
        return Result(
            id=invocation.id,
            function=function.name,
            image=function.image,
            command=(*(function.entrypoint or ()), *function.command, *invocation.args),
            exit=collected.exit,
            stdout=collected.stdout,
            stderr=collected.stderr,
            stderr_truncated=collected.stderr_truncated,
            duration=time.monotonic() - begun,
        )


class BoundFunction:
    """A function and the client that calls it: ``await shout("hi")`` is ``"HI"``."""

    def __init__(self, client: AsyncClient, function: Function) -> None:
        self.function = function
        self._client = client

    @property
    def client(self) -> AsyncClient:
        """The client that calls it."""
        return self._client

    async def __call__(
        self,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        *,
        args: Sequence[str] = (),
    ) -> str:
        """Call it and return its stdout as text; raises as :meth:`AsyncClient.run` does."""
        return (await self.invoke(input, args=args)).check().text

    async def invoke(
        self,
        input: streams.Input = None,  # noqa: A002 - subprocess's name for it
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Call it and return the result, whatever its exit code."""
        return await self._client.invoke(self.function, args, input=input, env=env)

    def map(
        self,
        inputs: Inputs,
        *,
        concurrency: int | None = None,
        progress: Progress | None = None,
    ) -> AsyncIterator[Result]:
        """Call it for each input; see :meth:`AsyncClient.map`."""
        return self._client.map(self.function, inputs, concurrency=concurrency, progress=progress)


def _bare(function: str | Function) -> Function:
    """Refuse what only looks like a function, and say what is to be done with it."""
    if isinstance(function, Function):
        return function
    if hasattr(function, "function"):
        raise UsageError(
            "what client.function() returns is called by itself, as f(…), f.invoke(…) or "
            "f.map(…); its declaration is f.function"
        )
    raise UsageError(f"{function!r} is no Function, and no name of one")


def _function(image: str | Function, *, options: Options) -> Function:
    if not isinstance(image, str):
        return override(_bare(image), options)
    return build_function(image, options=options)


def _invocation(image: str | Function, args: Sequence[str], *, options: Options) -> Invocation:
    if not isinstance(image, str):
        return Invocation(function=override(_bare(image), options), args=words(args, name="args"))
    return Invocation(function=build_function(image, args, options=options))
