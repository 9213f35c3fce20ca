"""What a schedule runs: a deployed function, an image, a program in a container, or one of ours."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from wherry import streams
from wherry.errors import EngineError, Unsupported
from wherry.models import Exit, Invocation, Output
from wherry.options import Options, build_function
from wherry.triggers.cron.local import perform_here

if TYPE_CHECKING:
    from wherry.client import AsyncClient
    from wherry.models import Function
    from wherry.service.service import FunctionService
    from wherry.triggers.cron.model import Definition, Schedule
    from wherry.triggers.cron.outputs import Write

Events = AsyncIterable[Output | Exit]
_Perform = Callable[["Schedule", str, "Write"], Awaitable[Exit]]


class Containers(Protocol):
    """Containers that exist already, of an engine that names them; the server hands it in."""

    def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterable[bytes],
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
    ) -> AbstractAsyncContextManager[Events]:
        """Run a program in a running container; leaving the block kills it, where it can."""
        ...

    def start(self, container: str) -> AbstractAsyncContextManager[Events]:
        """Start a stopped container once more; leaving the block kills it, and keeps it."""
        ...


class Services(Protocol):
    """Services of a Swarm; the server hands them in where its engine can have some."""

    def run(self, definition: Definition) -> AbstractAsyncContextManager[Events]:
        """Create a service of an image that runs once; leaving the block removes it."""
        ...

    def rerun(self, definition: Definition) -> AbstractAsyncContextManager[Events]:
        """Start a service's tasks anew; leaving the block before their end stops them."""
        ...


class Jobs:
    """Performs a schedule's job once; see :class:`wherry.triggers.cron.performing.Perform`."""

    def __init__(
        self,
        *,
        service: FunctionService,
        client: AsyncClient,
        containers: Containers | None = None,
        services: Services | None = None,
        local: bool = False,
    ) -> None:
        """``local``: whether the operator allows programs of this machine."""
        self._service = service
        self._client = client
        self._containers = containers
        self._services = services
        self._kinds: dict[str, _Perform] = {"function": self._function, "run": self._run}
        if containers is not None:
            self._kinds["exec"] = self._exec
        if services is not None:
            self._kinds["service-run"] = self._service_run
        if local:
            self._kinds["local"] = self._local

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that can be performed here."""
        return frozenset(self._kinds)

    async def __call__(self, schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        """Perform it; raises :class:`wherry.errors.WherryError` when that cannot be."""
        kind = schedule.definition.kind
        if kind not in self._kinds:
            raise Unsupported(f"kind: {kind!r} cannot be run by this server")
        return await self._kinds[kind](schedule, id, write)

    async def _function(self, schedule: Schedule, id_: str, write: Write) -> Exit:
        definition = schedule.definition
        deployed = self._service.find(definition.function or "")
        if deployed.settings.mode != "stdio":
            raise Unsupported(
                f"function {deployed.qualified!r} speaks {deployed.settings.mode}, which a "
                "schedule does not; schedule a function of mode stdio"
            )
        live = self._service.call(
            deployed,
            _stdin(definition),
            trigger="schedule",
            id=id_,
            args=definition.command or (),
            env=definition.env or {},
        )
        async with live as call:
            exit_ = await _pulled(call, write)
            call.finish()
            return exit_

    async def _run(self, schedule: Schedule, id_: str, write: Write) -> Exit:
        definition = schedule.definition
        if definition.container is not None:
            async with self._existing().start(definition.container) as events:
                return await _pulled(events, write)
        invocation = Invocation(function=function_of(definition), id=id_)
        async with self._client.call(invocation, _stdin(definition)) as container:
            return await _pulled(container, write)

    async def _exec(self, schedule: Schedule, _id: str, write: Write) -> Exit:
        definition = schedule.definition
        running = self._existing().exec(
            definition.container or "",
            definition.command or (),
            stdin=_stdin(definition),
            env=definition.env,
            user=definition.user,
            workdir=definition.workdir,
        )
        async with running as events:
            return await _pulled(events, write)

    async def _service_run(self, schedule: Schedule, _id: str, write: Write) -> Exit:
        assert self._services is not None
        definition = schedule.definition
        begin = self._services.rerun if definition.service else self._services.run
        async with begin(definition) as events:
            return await _pulled(events, write)

    async def _local(self, schedule: Schedule, _id: str, write: Write) -> Exit:
        return await perform_here(schedule.definition, write)

    def _existing(self) -> Containers:
        if self._containers is None:
            raise Unsupported("containers that exist already need the docker engine")
        return self._containers


def function_of(definition: Definition) -> Function:
    """Return what a schedule of kind ``run`` calls. Raises :class:`wherry.errors.UsageError`."""
    options: Options = {"name": definition.name}
    if definition.env is not None:
        options["env"] = definition.env
    if definition.user is not None:
        options["user"] = definition.user
    if definition.workdir is not None:
        options["workdir"] = definition.workdir
    if definition.network is not None:
        options["network"] = definition.network
    if definition.hostname is not None:
        options["hostname"] = definition.hostname
    if definition.pull is not None:
        options["pull"] = definition.pull
    if definition.volumes is not None:
        options["mounts"] = definition.volumes
    return build_function(definition.image or "", definition.command or (), options=options)


def _stdin(definition: Definition) -> AsyncIterable[bytes]:
    return streams.source(definition.input)


async def _pulled(events: Events, write: Write) -> Exit:
    """Hand on all output, and return how it ended."""
    async for event in events:
        if isinstance(event, Exit):
            return event
        write(event)
    raise EngineError("the engine did not say how the program ended")
