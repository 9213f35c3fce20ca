"""A queue whose functions are coroutines, and clocks that tests set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.calls import Backoff, CallStore, QueuedRequest, QueueWorkers, RetryPolicy
from wherry.calls.clock import Clock
from wherry.client import AsyncClient
from wherry.errors import NotFound
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed, Deployment, Settings
from wherry.models import Function
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine, Program

if TYPE_CHECKING:
    from wherry.calls.callbacks import Deliver
    from wherry.calls.model import CallRecord, QueueLimits, State
    from wherry.service.call import Observer

AT_ONCE = Backoff(first=0.001, most=0.002)
QUICK = RetryPolicy(retries=3, backoff=AT_ONCE, refusal=AT_ONCE, callbacks=AT_ONCE)
"""Delays that no test has to wait for."""
PATIENCE = 30.0


@dataclass
class FakeClock:
    """Both clocks, moved by hand or running with the real steady one."""

    wall: float = 1_000_000.0
    steady: float = 1_000.0
    boot: str = "boot-1"

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, steady=lambda: self.steady, boot=lambda: self.boot)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@dataclass
class Declared:
    """What a FunctionService needs of a store of functions."""

    functions: dict[str, Deployed] = field(default_factory=dict)

    def add(self, name: str, image: str, *, command: tuple[str, ...] = (), **settings: Any) -> None:
        deployed = deployed_function(name, image, command=command, **settings)
        self.functions[deployed.qualified] = deployed

    def get(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> Deployed:
        try:
            return self.functions[f"{name}.{namespace}"]
        except KeyError:
            raise NotFound(f"there is no function {name!r}") from None

    def list(self, namespace: str | None = None) -> list[Deployed]:
        return [d for d in self.functions.values() if namespace in {None, d.namespace}]

    def watch(self, changed: Callable[[str, Deployed | None], None]) -> None:
        pass

    def count(self, qualified: str) -> None:
        pass


def deployed_function(
    name: str, image: str, *, command: tuple[str, ...] = (), **settings: Any
) -> Deployed:
    return Deployed(
        name=name,
        namespace=DEFAULT_NAMESPACE,
        deployment=Deployment(service=name, image=image),
        settings=Settings(**settings),
        function=Function(name=f"{name}.{DEFAULT_NAMESPACE}", image=image, command=command),
        created=0.0,
    )


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def request(name: str = "upper", **values: Any) -> QueuedRequest:
    return QueuedRequest(name=name, namespace=DEFAULT_NAMESPACE, **values)


@dataclass
class Queueing:
    """A store, and what runs its calls."""

    store: CallStore
    service: FunctionService
    declared: Declared
    engine: MemoryEngine
    workers: QueueWorkers

    async def put(self, name: str = "upper", data: bytes = b"hello", **values: Any) -> CallRecord:
        return await self.store.enqueue(request(name, **values), body(data))

    async def until(self, id: str, *states: State) -> CallRecord:  # noqa: A002
        """Wait until a call is in one of these states, or has ended where none is given."""

        async def reached() -> CallRecord | None:
            record = await self.store.get(id)
            return record if record.state in states or not (states or record.is_open) else None

        found: CallRecord = await eventually(reached)
        return found

    async def result(self, id: str) -> bytes:  # noqa: A002
        return b"".join([chunk async for chunk in await self.store.result(id)])


async def eventually(found: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is neither None nor false, and return it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            value = await found()
            if value is not None and value is not False:
                return value
            await asyncio.sleep(0.005)


@asynccontextmanager
async def queueing(
    directory: Path,
    *,
    programs: Mapping[str, Program] | None = None,
    limits: QueueLimits | None = None,
    clock: Clock | None = None,
    policy: RetryPolicy = QUICK,
    concurrency: int = 4,
    lease: float = 30.0,
    deliver: Deliver | None = None,
    observers: tuple[Observer, ...] = (),
    working: bool = True,
) -> AsyncIterator[Queueing]:
    engine = MemoryEngine(programs)
    declared = Declared()
    declared.add("upper", "busybox", command=("tr", "a-z", "A-Z"))
    async with (
        AsyncClient(engine) as client,
        await CallStore.open(directory, limits=limits, clock=clock) as store,
    ):
        service = FunctionService(client, declared, observers=[store.recorder, *observers])
        workers = QueueWorkers(
            store,
            service,
            concurrency=concurrency,
            policy=policy,
            lease=lease,
            deliver=deliver,
        )
        async with asyncio.TaskGroup() as group:
            if working:
                group.create_task(workers.run())
            try:
                yield Queueing(store, service, declared, engine, workers)
            finally:
                await workers.aclose(grace=0.0)
                await service.aclose()
