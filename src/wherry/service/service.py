"""The one way from a trigger to a container: admission, allowance, observers, ready containers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from wherry import streams
from wherry.errors import Busy, StartError, TooLarge, Unsupported, UsageError
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed
from wherry.models import Invocation, new_id
from wherry.service.admission import Admission, Capacity
from wherry.service.allowance import allowance
from wherry.service.call import Call, Observer, Trigger
from wherry.service.connected import ConnectedCall
from wherry.service.live import CallerLeft, CountedStdin, LiveCall, conclude
from wherry.service.observing import Observers
from wherry.service.outcome import describe_timeout, status_of, unstartable
from wherry.service.pipes import piped
from wherry.service.readiness import Readiness
from wherry.service.usage import Used, used

if TYPE_CHECKING:
    from wherry.client import AsyncClient
    from wherry.engines.base import Container
    from wherry.service.keeping import Keeping
    from wherry.wrappers.berth import PoolStats

_log = logging.getLogger(__name__)
_NO_ENV: Mapping[str, str] = MappingProxyType({})


class Functions(Protocol):
    """What the service asks of a :class:`wherry.functions.store.FunctionStore`."""

    def get(self, name: str, *, namespace: str = ...) -> Deployed:
        """Return a function; raises :class:`wherry.errors.NotFound`."""
        ...

    def list(self, namespace: str | None = None) -> list[Deployed]:
        """Return all functions."""
        ...

    def watch(self, changed: Callable[[str, Deployed | None], None]) -> None:
        """Call ``changed`` with the qualified name when a function is deployed or removed."""
        ...

    def count(self, qualified: str) -> None:
        """Note one more invocation."""
        ...


class FunctionService:
    """Calls deployed functions, and keeps their containers ready."""

    def __init__(
        self,
        client: AsyncClient,
        functions: Functions,
        *,
        capacity: Capacity | None = None,
        max_timeout: float = 300.0,
        observers: Sequence[Observer] = (),
        idle: float = 300.0,
        keeping: Keeping | None = None,
    ) -> None:
        """``idle`` is how long a function keeps its ready containers without a call, seconds.

        ``keeping`` has the containers of functions that are servers; without it there are none.
        """
        self.functions = functions
        self.max_timeout = max_timeout
        self._client = client
        self._admission = Admission(capacity or Capacity())
        self._observers = Observers(observers)
        self._readiness = Readiness(client, idle=idle)
        self._keeping = keeping
        self._ids: set[str] = set()
        functions.watch(self._changed)

    def add_observer(self, observer: Observer) -> None:
        """Tell one more observer of every call from now on."""
        self._observers.add(observer)

    def find(self, name: str) -> Deployed:
        """Return the function of ``name[.namespace]``; raises :class:`NotFound`.

        The last dot splits, where what follows it is a namespace that has such a function.
        """
        from wherry.functions.names import split_name

        plain, namespace = split_name(name)
        return self.functions.get(plain, namespace=namespace)

    def call(
        self,
        deployed: Deployed,
        stdin: AsyncIterable[bytes],
        *,
        trigger: Trigger,
        id: str | None = None,  # noqa: A002 - as in Invocation
        args: Sequence[str] = (),
        env: Mapping[str, str] = _NO_ENV,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[LiveCall]:
        """Call a function; leaving the block ends it.

        ``timeout``, in seconds from now, can only shorten what the function and the server
        allow. Raises :class:`ConcurrencyReached` (429), :class:`Busy` (503),
        :class:`ImageError`, :class:`StartError`, :class:`EngineError` (502).
        """
        call = self._call(deployed, trigger=trigger, id=id, timeout=timeout)
        return self._called(call, stdin, args=tuple(args), env=env)

    def connect(
        self,
        deployed: Deployed,
        *,
        trigger: Trigger,
        id: str | None = None,  # noqa: A002 - as in Invocation
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[ConnectedCall]:
        """Connect to a function that is a server (mode ``http``); from zero, start it first.

        The call counts as any other. ``timeout``, in seconds from now, can only shorten its time,
        which is the caller's to keep once it is connected. Raises as :meth:`call` does.
        """
        return self._connected(self._call(deployed, trigger=trigger, id=id, timeout=timeout))

    def _call(
        self,
        deployed: Deployed,
        *,
        trigger: Trigger,
        id: str | None,  # noqa: A002 - as in Invocation
        timeout: float | None,
    ) -> Call:
        return Call(
            id=id or new_id(),
            deployed=deployed,
            trigger=trigger,
            began=time.time(),
            allowance=allowance(deployed, asked=timeout, maximum=self.max_timeout),
        )

    @property
    def admission(self) -> Admission:
        """Who runs and who waits."""
        return self._admission

    def running(self, deployed: Deployed) -> int:
        """Return how many calls of a function run now."""
        return self._admission.running_of(deployed.qualified)

    def waiting(self, deployed: Deployed) -> int:
        """Return how many calls of a function wait for a place of its own."""
        return self._admission.waiting_of(deployed.qualified)

    def ready(self, deployed: Deployed) -> int:
        """Return how many containers of a function wait for a call now."""
        if is_server(deployed):
            return int(self._keeping is not None and self._keeping.is_up(deployed))
        stats = self._client.pool_stats.get(deployed.qualified)
        return stats.ready if stats else 0

    def replicas(self, deployed: Deployed) -> int:
        """Return how many containers a function has by intent: kept ready, and running."""
        if is_server(deployed):
            return min(deployed.replicas, 1)
        if deployed.deployment.pipe is not None:
            return max(deployed.replicas, self.running(deployed))
        return self._readiness.wanted(deployed) + self.running(deployed)

    def available(self, deployed: Deployed) -> int:
        """Return how many containers a function has: ready, and running.

        Those that its calls have taught it to keep besides, for the next rush, do not count: no
        client expects more than :meth:`replicas`. One that has none by its nature counts as what
        was asked for, so that clients that wait for it after its deploy, as OpenFaaS's do, see
        that it can be called.
        """
        there = self.ready(deployed)
        if not is_server(deployed):
            there = min(there, self._readiness.wanted(deployed)) + self.running(deployed)
        return there or self._from_none(deployed)

    def _from_none(self, deployed: Deployed) -> int:
        """Return what a function counts as whose containers are made by its calls alone."""
        if is_server(deployed):
            by_itself = self._keeping is not None and deployed.settings.scale_to_zero
            return min(deployed.replicas, 1) if by_itself else 0
        if deployed.deployment.pipe is not None:
            return deployed.replicas
        if self._client.can_keep_ready or not self._readiness.is_prepared(deployed):
            return 0
        return deployed.replicas

    async def usage(self, deployed: Deployed) -> Used:
        """Return what a function takes now, which takes a moment to see.

        Nothing for a pipe, whose stages are functions themselves, and where the engine does not
        tell. Raises :class:`wherry.errors.EngineError`.
        """
        return await used(self._client, deployed.qualified)

    @property
    def pools(self) -> Mapping[str, PoolStats]:
        """How the ready containers of each function did, by qualified name."""
        return self._client.pool_stats

    def wake(self) -> None:
        """Make ready what was asked for explicitly: after a start, the rest begins at none."""
        for deployed in self.functions.list():
            if is_program(deployed):
                self._readiness.restored(deployed)
            elif self._keeping is not None and is_server(deployed):
                self._keeping.restored(deployed)

    async def aclose(self) -> None:
        """Stop keeping containers; calls in containers of their own go on. Idempotent."""
        await self._readiness.aclose()
        if self._keeping is not None:
            await self._keeping.aclose()

    def _changed(self, qualified: str, deployed: Deployed | None) -> None:
        server = deployed if deployed is not None and is_server(deployed) else None
        program = deployed if deployed is not None and is_program(deployed) else None
        self._readiness.changed(qualified, program)
        if self._keeping is not None:
            self._keeping.changed(qualified, server)

    @asynccontextmanager
    async def _called(
        self,
        call: Call,
        stdin: AsyncIterable[bytes],
        *,
        args: tuple[str, ...],
        env: Mapping[str, str],
    ) -> AsyncIterator[LiveCall]:
        async with self._admitted(call) as (deadline, leave):
            source = stdin if stdin is streams.NOTHING else CountedStdin(stdin, call)
            left = deadline - asyncio.get_running_loop().time()
            running = self._running(call, source, args=args, env=env, left=left)
            async with running as container:
                call.started = time.time()
                self._observers.started(call)
                yield LiveCall(call, container, observer=self._observers, over=leave)

    @asynccontextmanager
    async def _connected(self, call: Call) -> AsyncIterator[ConnectedCall]:
        name = call.deployed.name
        if self._keeping is None:
            raise Unsupported(f"function {name!r}: no servers are kept here (mode http)")
        async with self._admitted(call) as (deadline, _), AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    keeping = self._keeping.connection(call.deployed)
                    connection = await stack.enter_async_context(keeping)
            except TimeoutError as error:
                raise Busy(f"{describe_timeout(call)}: it did not start in time") from error
            call.started = time.time()
            self._observers.started(call)
            yield ConnectedCall(call, connection, deadline=deadline, observer=self._observers)

    @asynccontextmanager
    async def _admitted(self, call: Call) -> AsyncIterator[tuple[float, Callable[[], None]]]:
        """Let a call in, with observers told; yield its deadline, and what gives its place up."""
        clock = asyncio.get_running_loop().time
        assert call.allowance is not None
        deadline = clock() + call.allowance.seconds
        self._observers.began(call)
        self.functions.count(call.deployed.qualified)
        try:
            place = self._admission.place(call.deployed, clock=clock, deadline=deadline)
            async with self._named(call), place as leave:
                yield deadline, leave
        except asyncio.CancelledError:
            call.error = call.error or CallerLeft("the caller left before the call ended")
            raise
        except BaseException as error:
            match error:
                case UsageError() if call.started is None and not isinstance(error, TooLarge):
                    raise self._unstartable(call, error) from error  # too large is the body
            call.error = call.error or error
            raise
        finally:
            call.status = status_of(call)
            conclude(call, self._observers)

    @staticmethod
    def _unstartable(call: Call, error: UsageError) -> StartError:
        _log.warning(
            "a function cannot run as it is deployed",
            extra={"function": call.deployed.qualified, "call": call.id, "error": str(error)},
        )
        call.error = unstartable(call, error)
        return call.error

    def _running(
        self,
        call: Call,
        stdin: AsyncIterable[bytes],
        *,
        args: tuple[str, ...],
        env: Mapping[str, str],
        left: float,
    ) -> AbstractAsyncContextManager[Container]:
        """Return what runs: a container, or those of a pipe. ``left`` is in seconds."""
        timeout = max(0.0, left)
        if call.deployed.deployment.pipe:
            return piped(self, call.deployed, stdin=stdin, id=call.id, env=env, timeout=timeout)
        function = self._readiness.used(call.deployed)
        invocation = Invocation(function=function, args=args, env=env, id=call.id)
        return self._client.call(invocation, stdin, timeout=timeout)

    @asynccontextmanager
    async def _named(self, call: Call) -> AsyncIterator[None]:
        """Give a call whose id runs already, as calls of calls may have it, one of its own."""
        if call.id in self._ids:
            call.id = f"{call.id}.{new_id()[:8]}"
        self._ids.add(call.id)
        try:
            yield
        finally:
            self._ids.discard(call.id)


def is_program(deployed: Deployed) -> bool:
    """Whether each call has a container of its own, which could be ready before it."""
    return not is_server(deployed) and not deployed.deployment.pipe


def is_server(deployed: Deployed) -> bool:
    """Whether a function's program is a server, of which one container is kept."""
    return deployed.settings.mode == "http"


__all__ = ["DEFAULT_NAMESPACE", "FunctionService", "Functions"]
