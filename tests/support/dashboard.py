"""A dashboard over a real store, a real queue and an engine whose programs are coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from tests.support.asgi import Answer, Asgi
from tests.support.queueing import QUICK

from wherry.calls import CallStore, FunctionLogs, QueueWorkers
from wherry.client import AsyncClient
from wherry.functions.model import Deployment
from wherry.functions.store import FunctionStore
from wherry.service.recent import Recent
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine, Program
from wherry.ui.parts import Dashboard
from wherry.ui.routes import dashboard_routes

if TYPE_CHECKING:
    from wherry.engines.base import Container, Slot, Stdin
    from wherry.functions.model import Deployed
    from wherry.models import Function, Invocation


@dataclass
class Board:
    """A dashboard, and what it shows."""

    app: Starlette
    dashboard: Dashboard
    ask: Asgi

    async def deploy(self, name: str, *command: str, **fields: Any) -> Deployed:
        given: dict[str, Any] = {"image": "busybox", "command": list(command) or None, **fields}
        return await self.dashboard.functions.deploy(Deployment(service=name, **given))

    async def get(self, path: str) -> str:
        """Return a page that there is."""
        answer = await self.ask(f"GET {path}")
        assert answer.status == 200, answer.text
        return answer.text

    async def post(self, path: str, **fields: str) -> Answer:
        """Send a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.ask(f"POST {path}", urlencode(fields).encode(), headers=kind)


class ReadyMemoryEngine(MemoryEngine):
    """A memory engine that keeps containers ready, as far as anybody can see."""

    @asynccontextmanager
    async def reserve(self, function: Function) -> AsyncIterator[Slot]:
        yield _Slot(self)


class _Slot:
    usable = True

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    async def ended(self) -> None:
        await asyncio.Event().wait()

    def serves(self, invocation: Invocation) -> bool:
        return True

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        return self._engine.start(invocation, stdin)


@asynccontextmanager
async def board(
    directory: Path,
    *,
    programs: Mapping[str, Program] | None = None,
    recent: Recent | None = None,
    works: bool = True,
    **parts: Any,
) -> AsyncIterator[Board]:
    """Serve one; ``works`` says whether the queue is worked on, ``parts`` are the dashboard's."""
    heard = recent or Recent()
    async with AsyncExitStack() as stack:
        functions = await FunctionStore.open(directory)
        stack.push_async_callback(functions.aclose)
        calls = await stack.enter_async_context(await CallStore.open(directory))
        logs = FunctionLogs(directory)
        stack.push_async_callback(logs.aclose)
        client = await stack.enter_async_context(AsyncClient(ReadyMemoryEngine(programs)))
        service = FunctionService(client, functions, observers=(heard, calls.recorder, logs))
        stack.push_async_callback(service.aclose)
        if works:
            workers = QueueWorkers(calls, service, policy=QUICK)
            working = asyncio.create_task(workers.run())
            stack.push_async_callback(asyncio.wait, [working])
            stack.push_async_callback(workers.aclose, grace=0.0)
        made = Dashboard(
            service=service, functions=functions, recent=heard, calls=calls, logs=logs, **parts
        )
        app = Starlette(routes=list(dashboard_routes(made)))
        yield Board(app, made, Asgi(app))
