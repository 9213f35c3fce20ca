"""Everything that one server consists of, put together and taken apart in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wherry.calls.logs import FunctionLogs
from wherry.calls.store import CallStore
from wherry.calls.workers import QueueWorkers
from wherry.client import AsyncClient
from wherry.functions.reload import FileSource
from wherry.functions.store import FunctionStore
from wherry.proxy.tenants.places import Places
from wherry.server.dispatched import dispatched
from wherry.server.docker_api import with_docker_api
from wherry.server.ownership import Ownership
from wherry.server.schedule_pages import SchedulePages
from wherry.server.schedules import scheduled
from wherry.service.keeping import Keeping
from wherry.service.recent import Recent
from wherry.service.service import FunctionService
from wherry.triggers.cgi.handler import Cgi
from wherry.triggers.http.app import dashboard_at, gateway
from wherry.triggers.http.auth import Auth
from wherry.triggers.http.dispatch_metrics import DispatchMetrics
from wherry.triggers.http.metrics import Metrics
from wherry.triggers.http.parts import GatewayOptions, Parts
from wherry.triggers.http.passwords import BasicUser, own_basic_user, read_basic_user
from wherry.triggers.http.proxying import Proxy
from wherry.triggers.http.replay import Replay
from wherry.triggers.http.schedule_metrics import ScheduleMetrics
from wherry.triggers.http.tokens import TokenStore
from wherry.ui.parts import Dashboard
from wherry.ui.routes import dashboard_routes

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from wherry.engines.base import Engine
    from wherry.functions.model import Deployed, Mode
    from wherry.server.options import ServeOptions
    from wherry.triggers.amqp.service import Dispatching
    from wherry.triggers.cron.service import Schedules


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A server that does not listen yet."""

    app: ASGIApp
    parts: Parts
    workers: QueueWorkers
    files: FileSource | None
    schedules: Schedules
    dispatching: Dispatching


@asynccontextmanager
async def assembled(options: ServeOptions, engine: Engine) -> AsyncIterator[Assembled]:
    """Open everything; leaving the block ends what still runs and closes it all.

    Raises :class:`wherry.errors.WherryError` for a state that cannot be used.
    """
    async with AsyncExitStack() as stack:
        stack.callback(Ownership(options.state).close)
        functions = await FunctionStore.open(options.state)
        stack.push_async_callback(functions.aclose)
        calls = await stack.enter_async_context(
            await CallStore.open(options.state, limits=options.queue)
        )
        logs = FunctionLogs(options.state)
        stack.push_async_callback(logs.aclose)
        client = await stack.enter_async_context(
            AsyncClient(with_docker_api(engine, places=Places(options.data_dir / "proxy")))
        )
        metrics, recent = Metrics(), Recent()
        service = FunctionService(
            client,
            functions,
            capacity=options.capacity,
            max_timeout=options.max_timeout,
            observers=(metrics, recent, calls.recorder, logs),
            idle=options.idle,
            keeping=Keeping(
                client, options.data_dir / "doors", idle=options.idle, wrote=logs.wrote
            ),
        )
        stack.push_async_callback(service.aclose)
        metrics.watch(service)
        workers = QueueWorkers(calls, service, concurrency=options.workers, policy=options.retries)
        stack.push_async_callback(workers.aclose, grace=0.0)
        counted = ScheduleMetrics()
        metrics.registry.register(counted)
        schedules = await stack.enter_async_context(
            scheduled(options, engine, service=service, client=client, metrics=counted)
        )
        dispatching = await stack.enter_async_context(
            dispatched(options, engine, service=service, client=client)
        )
        metrics.registry.register(DispatchMetrics(dispatching))
        tokens = TokenStore(options.state)
        parts = Parts(
            service=service,
            functions=functions,
            calls=calls,
            workers=workers,
            schedules=schedules,
            dispatching=dispatching,
            logs=logs,
            tokens=tokens,
            guard=_guard(options, tokens),
            metrics=metrics,
            options=GatewayOptions(
                max_body=options.max_body, engine=options.engine, trusted=options.trusted
            ),
        )
        functions.watch(_Forgetting(logs).changed)
        functions.watch(recent.changed)
        service.wake()
        files = FileSource(functions, options.files)
        await files.apply()  # without any files it removes what those of another time declared
        modes: dict[Mode, ASGIApp] = {"cgi": Cgi(parts), "http": Proxy(parts)}
        performers = {mode: Replay(answers) for mode, answers in modes.items()}
        for mode, performer in performers.items():
            workers.add_performer(mode, performer)
        dashboard = Dashboard(
            service=service,
            functions=functions,
            recent=recent,
            calls=calls,
            logs=logs,
            guard=parts.guard,
            files=files,
            schedules=SchedulePages(schedules),
            performers=performers,
        )
        app = gateway(parts, modes=modes, more=[dashboard_at("/ui/"), *dashboard_routes(dashboard)])
        yield Assembled(
            app=app,
            parts=parts,
            workers=workers,
            files=files if options.files else None,
            schedules=schedules,
            dispatching=dispatching,
        )


class _Forgetting:
    """Removes the log of a function that was removed."""

    def __init__(self, logs: FunctionLogs) -> None:
        self._logs = logs
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, qualified: str, deployed: Deployed | None) -> None:
        """Follow a change of the store."""
        if deployed is None:
            name, _, namespace = qualified.rpartition(".")
            task = asyncio.ensure_future(self._logs.forget(name, namespace))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


def _guard(options: ServeOptions, tokens: TokenStore) -> Auth:
    asked = replace(options.guard, no_auth=options.no_auth, calls=options.auth_calls)
    return Auth(asked, basic=None if options.no_auth else basic_user(options), tokens=tokens)


def basic_user(options: ServeOptions) -> BasicUser:
    """Return who basic auth lets in; raises :class:`wherry.errors.UsageError`."""
    if options.password_file is None:
        return own_basic_user(options.state)
    return read_basic_user(user_file=options.user_file, password_file=options.password_file)
