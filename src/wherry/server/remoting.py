"""``wherry remote`` from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from wherry import config
from wherry.engines.remote.protocol import ROOT
from wherry.images.credentials import StoredCredentials, default_files
from wherry.remote import openapi
from wherry.remote.api import Api
from wherry.remote.app import Page, Remote, nobody
from wherry.remote.audit import Audit
from wherry.remote.auth import Auth
from wherry.remote.calls import Calls
from wherry.remote.guard import Guarded
from wherry.remote.health import Health
from wherry.remote.jobs import ROOT as JOBS
from wherry.remote.jobs import Jobs
from wherry.remote.metrics import Metrics
from wherry.remote.policy_file import Policies, load_policies
from wherry.remote.queueing import Queued
from wherry.remote.reaping import reap
from wherry.remote.streaming import Streaming
from wherry.remote.tokens import Tokens
from wherry.remote.turns import Turns
from wherry.remote.verbs import Verbs
from wherry.remote.windows import Limits
from wherry.server import descriptors
from wherry.server.listening import Listening
from wherry.server.notify import notify
from wherry.server.sockets import bind
from wherry.server.stopping import Stopping
from wherry.server.tls import Certificate

if TYPE_CHECKING:
    from wherry.engines.docker.engine import DockerEngine
    from wherry.remote.settings import RemoteSettings
    from wherry.server.sockets import Listener

Say = Callable[[str], None]


async def serve(
    settings: RemoteSettings,
    engine: DockerEngine,
    *,
    say: Say,
    greet: Callable[[list[str]], None],
) -> None:
    """Serve until a signal asks to stop.

    ``greet`` is called with the addresses once they are served. Raises
    :class:`wherry.errors.UsageError` and :class:`EngineError` before anything is served.
    """
    descriptors.allow_many()
    certificate = _certificate(settings)
    listeners = bind([_address(settings)])
    try:
        async with assembled(settings, engine, listeners=listeners) as app:
            tls = certificate.context if certificate else None
            listening = Listening(app, listeners, tls=tls)
            stopping = Stopping()
            await listening.start()
            greet([f"{settings.scheme}://{address}" for address in listening.addresses])
            async with _beside(certificate):
                notify("READY=1")
                try:
                    await stopping.asked.wait()
                    notify("STOPPING=1")
                    say(f"stopping: requests have {settings.grace:g} s to end; again to end now")
                finally:
                    await app.leave()
                    await listening.stop(grace=settings.grace, at_once=stopping.at_once)
    finally:
        for listener in listeners:
            listener.close()


@asynccontextmanager
async def assembled(
    settings: RemoteSettings, engine: DockerEngine, *, listeners: list[Listener]
) -> AsyncIterator[Remote]:
    """Put the parts of one server together; leaving the block takes them apart."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.aclose)
        audit = Audit(settings.audit)
        stack.callback(audit.close)
        logins = StoredCredentials(default_files(config.settings()))
        verbs = Verbs(engine.client, pull_timeout=settings.pull_timeout, credentials=logins)
        guard = Guarded(verbs, policies=_policies(settings), audit=audit)
        turns = Turns(settings.capacity, waiting=settings.waiting)
        calls = Calls(engine, guard=guard, turns=turns, timeout=settings.timeout)
        stack.push_async_callback(calls.aclose)
        base = ""
        if settings.cluster:  # another node hands the answer on, and does not know of the run
            from wherry.remote.cluster.starting import clustered, origin_of

            port = listeners[0].socket.getsockname()[1]
            base = origin_of(settings, port=port)
        jobs = Jobs(turns, strict=settings.strict, base=base)
        stack.push_async_callback(jobs.aclose)
        metrics = Metrics(turns, calls=calls)
        streaming = Streaming(guard, settings, otherwise=Api(guard, settings))
        handler = metrics.around(Queued(streaming, turns=turns, jobs=jobs))
        await reap(engine)
        speaks_for, leave = nobody, None
        if settings.cluster:
            joining = clustered(handler, settings, engine=engine.client, port=port)
            handler = cluster = await stack.enter_async_context(joining)
            metrics.registry.register(cluster.numbers)
            speaks_for, leave = cluster.speaks_for, cluster.leave
        yield Remote(
            handler,
            auth=Auth(Tokens(single=settings.token, file=settings.tokens)),
            limits=Limits(settings),
            settings=settings,
            pages={
                "/healthz": Page(answer=Health(engine.client).page, is_open=True),
                "/metrics": Page(answer=metrics.page),
                "/openapi.json": Page(answer=openapi.page, is_open=True),
            },
            below={JOBS: jobs, ROOT: calls},
            speaks_for=speaks_for,
            leave=leave,
        )


def _policies(settings: RemoteSettings) -> Policies:
    policies = Policies() if settings.policy is None else load_policies(settings.policy)
    return policies.with_mounts(settings.mounts)


@asynccontextmanager
async def _beside(certificate: Certificate | None) -> AsyncIterator[None]:
    """Look after the certificate."""
    async with asyncio.TaskGroup() as group:
        watching = [] if certificate is None else [group.create_task(certificate.watch())]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()


def _certificate(settings: RemoteSettings) -> Certificate | None:
    if not settings.https:
        return None
    return Certificate(settings.cert, settings.key, chain=settings.chain, option="--cert")


def _address(settings: RemoteSettings) -> str:
    """Return what to listen on; without a host, every address of this machine."""
    host = settings.host.strip("[]")
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
