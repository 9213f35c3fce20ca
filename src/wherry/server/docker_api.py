"""Functions that call containers: an engine that gives them Docker sockets of their own."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.base import ReadyEngine
from wherry.engines.closing import finish
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import Unsupported, UsageError
from wherry.functions.declare import DOCKER_API
from wherry.models import Mount
from wherry.proxy.inject import TARGET, variables
from wherry.proxy.policy.toml import parse_policy
from wherry.proxy.proxy import ProxyOptions, running_proxy
from wherry.proxy.quick import quick_policy
from wherry.proxy.tenants.places import check_tenant_name
from wherry.proxy.tenants.snapshot import kept_in
from wherry.server.scoping import sweep

if TYPE_CHECKING:
    from wherry.engines.base import Container, Engine, Slot, Stdin, Usage
    from wherry.models import Function, Invocation
    from wherry.proxy.proxy import Proxy
    from wherry.proxy.tenants.model import Tenant
    from wherry.proxy.tenants.places import Places

_LOG = logging.getLogger(__name__)
_OPEN = frozenset({"limits", "profile", "images", "pull", "build", "copy_in", "copy_out"})
"""Keys of a policy that a function may say of itself. Who may deploy need not be trusted with the
machine, and ``host_paths`` or ``capabilities`` would be just that."""


class NoDockerApi:
    """An engine without a Docker API: a function that wants a socket of it is refused."""

    def __init__(self, engine: Engine, *, why: str) -> None:
        self._engine = engine
        self._why = why

    async def prepare(self, function: Function) -> None:
        """Prepare; raises :class:`Unsupported` for a function that wants a socket."""
        self._check(function)
        await self._engine.prepare(function)

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        """Start; raises :class:`Unsupported` for a function that wants a socket."""
        self._check(invocation.function)
        return self._engine.start(invocation, stdin)

    async def usage(self, function: str) -> Sequence[Usage]:
        """Return what the wrapped engine tells; see :class:`wherry.engines.base.UsageEngine`."""
        return await _usage(self._engine, function)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()

    def _check(self, function: Function) -> None:
        if DOCKER_API in function.labels:
            raise Unsupported(
                f"--docker-api needs a docker engine to serve children from; {self._why}"
            )


class NoReadyDockerApi(NoDockerApi):
    """The same, of an engine that can keep containers ready."""

    def __init__(self, engine: ReadyEngine, *, why: str) -> None:
        super().__init__(engine, why=why)
        self._ready = engine

    def reserve(self, function: Function) -> AbstractAsyncContextManager[Slot]:
        """Reserve; raises :class:`Unsupported` for a function that wants a socket."""
        self._check(function)
        return self._ready.reserve(function)


class DockerApi:
    """A Docker engine whose functions get sockets of their own when they ask for one.

    A call's tenant begins and ends with the call: whatever its container has made is gone then.
    Functions that name a tenant (``tenant:NAME``) share it, and it ends with this engine: their
    children go on in the background when a call has ended.
    """

    def __init__(self, engine: DockerEngine, *, places: Places) -> None:
        self._engine = engine
        self._places = places
        self._directory: Path | None = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._proxy: Proxy | None = None
        self._shared: dict[str, Tenant] = {}

    async def prepare(self, function: Function) -> None:
        """Prepare; raises UsageError for a socket that cannot be had."""
        if (wanted := function.labels.get(DOCKER_API)) is not None:
            wish(wanted)
            await self._opened()  # also takes down what a gateway that was killed has left
        await self._engine.prepare(function)

    def start(self, invocation: Invocation, stdin: Stdin) -> AbstractAsyncContextManager[Container]:
        """Start; with a socket, when the function has the label."""
        wanted = invocation.function.labels.get(DOCKER_API)
        if wanted is None:
            return self._engine.start(invocation, stdin)
        return self._scoped(invocation, stdin, wanted=wanted)

    def reserve(self, function: Function) -> AbstractAsyncContextManager[Slot]:
        """Reserve; raises :class:`Unsupported` for a function with a socket, which is a call's."""
        if DOCKER_API in function.labels:
            raise Unsupported(
                f"{function.name}: ready containers have no Docker socket; leave out one of both"
            )
        return self._engine.reserve(function)

    async def usage(self, function: str) -> Sequence[Usage]:
        """Return what the wrapped engine tells; see :class:`wherry.engines.base.UsageEngine`."""
        return await _usage(self._engine, function)

    async def aclose(self) -> None:
        """Take down what is left, and close the wrapped engine. Idempotent."""
        try:
            for tenant in self._shared.values():
                if self._proxy is not None and self._proxy.registry.has(tenant.name):
                    await self._proxy.end(tenant.name)
        finally:
            await self._stack.aclose()
            self._shared.clear()
            self._proxy = None
            if self._directory is not None and not kept_in(self._directory):
                shutil.rmtree(self._directory, ignore_errors=True)
            await self._engine.aclose()

    @asynccontextmanager
    async def _scoped(
        self, invocation: Invocation, stdin: Stdin, *, wanted: str
    ) -> AsyncIterator[Container]:
        proxy = await self._opened()
        name, policy = wish(wanted)
        if name:
            tenant = await self._share(proxy, name, policy)
        else:
            name = f"call-{secrets.token_hex(6)}"
            tenant = await proxy.add(name, policy=policy, directory=True)
        try:
            scoped = replace(invocation, function=with_socket(invocation.function, tenant))
            async with self._engine.start(scoped, stdin) as container:
                yield container
        finally:
            if tenant.name not in self._shared:
                await finish(proxy.end(tenant.name))

    async def _share(self, proxy: Proxy, name: str, policy: str) -> Tenant:
        async with self._opening:
            if name not in self._shared:
                self._shared[name] = await proxy.add(name, policy=policy, directory=True)
            elif self._shared[name].policy != policy:
                raise UsageError(
                    f"docker_api: the tenant {name!r} has another policy already; functions that "
                    "share a tenant say the same of it"
                )
            return self._shared[name]

    async def _opened(self) -> Proxy:
        async with self._opening:
            if self._proxy is None:
                address = self._engine.client.address
                await sweep(address, self._places)
                directory = self._places.fleeting()
                options = ProxyOptions(
                    address=address, directory=directory, sockets=directory / "s"
                )
                self._proxy = await self._stack.enter_async_context(running_proxy(options))
                self._directory = directory
            return self._proxy


def wish(text: str) -> tuple[str, str]:
    """Return the tenant that a label names, empty for a call's own, and its policy as TOML.

    Raises :class:`UsageError`.
    """
    parts = text.split(",")
    names = [part.partition(":")[2] for part in parts if part.startswith("tenant:")]
    if len(names) > 1:
        raise UsageError(f"docker_api: {text!r} names several tenants; give one")
    rest = ",".join(part for part in parts if not part.startswith("tenant:"))
    policy = quick_policy(rest, field="docker_api")
    if closed := set(tomllib.loads(policy)) - _OPEN:
        raise UsageError(
            f"docker_api: {min(closed)!r} opens something of this machine, which is not a "
            "function's to choose; `wherry proxy` takes it from a policy file"
        )
    parse_policy(policy, name="docker_api")
    return check_tenant_name(names[0]) if names else "", policy


def with_docker_api(engine: Engine, *, places: Places) -> Engine:
    """Return an engine that gives Docker sockets, or says clearly why it cannot."""
    if not isinstance(engine, DockerEngine):
        why = "this engine is none: use --engine docker:"
    elif engine.client.address.scheme != "unix":
        why = f"{engine.client.address} is not on this machine, where the socket would be"
    else:
        return DockerApi(engine, places=places)
    if isinstance(engine, ReadyEngine):
        return NoReadyDockerApi(engine, why=why)
    return NoDockerApi(engine, why=why)


def with_socket(function: Function, tenant: Tenant) -> Function:
    """Return a function whose container holds the socket of a tenant."""
    mount = Mount(target=TARGET, source=tenant.directory)
    return replace(
        function,
        mounts=(*function.mounts, mount),
        env={**variables(), **function.env},
        labels={name: value for name, value in function.labels.items() if name != DOCKER_API},
    )


async def _usage(engine: Engine, function: str) -> Sequence[Usage]:
    from wherry.wrappers.usage import usage_of

    return await usage_of(engine, function)
