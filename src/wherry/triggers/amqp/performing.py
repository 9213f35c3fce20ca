"""Doing what a message asks for, on any engine; what only Docker can is behind a protocol."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from wherry import streams
from wherry.errors import EngineError, Unsupported, WherryError
from wherry.models import Exit, Function, Invocation, Limits, Network, Output, new_id
from wherry.streams import Tail
from wherry.triggers.amqp.message import Invoke, Message, Remove, Run, Stop
from wherry.triggers.amqp.outcome import ExitCodes, Outcome, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry.client import AsyncClient
    from wherry.service.service import FunctionService


Events = AsyncIterable[Output | Exit]
"""A container, as far as it matters here."""


class NamedContainers(Protocol):
    """What an engine does that keeps containers under names.

    ``key`` is the message's own: a container that an earlier try of it left is taken up or
    replaced. Raises :class:`wherry.errors.WherryError`.
    """

    def start(
        self,
        invocation: Invocation,
        stdin: AsyncIterable[bytes],
        *,
        name: str,
        key: str,
        keep: bool,
    ) -> AbstractAsyncContextManager[Events]:
        """Start a container; with ``keep`` it is left there when its program has ended."""
        ...

    async def detach(self, invocation: Invocation, *, name: str, key: str) -> str:
        """Start a container that goes on by itself, and return its id."""
        ...

    async def stop(self, container: str, *, grace: float) -> None:
        """Stop a container; harmless if it has stopped."""
        ...

    async def remove(self, container: str, *, volumes: bool, force: bool) -> None:
        """Remove a container."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Performer:
    """Performs messages; raises nothing but cancellation."""

    client: AsyncClient
    service: FunctionService | None = None
    named: NamedContainers | None = None
    codes: ExitCodes = field(default_factory=ExitCodes)
    timeout: float | None = None
    """Seconds that a container of a message may run."""
    max_output: int = 1024 * 1024
    """Bytes of each stream that a result keeps: the last ones."""

    async def perform(self, message: Message, *, key: str) -> Outcome:
        """Do it, and return what came of it."""
        operation = type(message).__name__.lower()
        try:
            match message:
                case Run():
                    return await self._run(message, key)
                case Stop():
                    await self._engine("stop").stop(message.container, grace=message.time)
                case Remove():
                    await self._engine("remove").remove(
                        message.container, volumes=message.volumes, force=message.force
                    )
                case Invoke():
                    return await self._invoke(message)
        except WherryError as error:
            return failed(error, operation=operation)
        return Outcome(fate="ack", operation=operation, container=message.container)

    async def _run(self, run: Run, key: str) -> Outcome:
        invocation = Invocation(function=self._function(run), id=new_id())
        stdin = streams.source(run.input) if "STDIN" in run.attach else streams.NOTHING
        keeps = self.named is not None and not run.remove
        if keeps and not run.attach:
            named = self._engine("run")
            container = await named.detach(invocation, name=run.name, key=key)
            return Outcome(fate="ack", operation="run", container=container)
        if keeps or run.name:
            started = self._engine("Options.Name").start(
                invocation, stdin, name=run.name, key=key, keep=not run.remove
            )
        else:
            started = self.client.call(invocation, stdin)
        async with started as container_:
            return await self._collect(container_, run=run)

    def _function(self, run: Run) -> Function:
        return Function(
            name=run.name or run.image.rpartition("/")[2].partition(":")[0] or "run",
            image=run.image,
            command=run.command,
            entrypoint=run.entrypoint,
            env=run.env,
            mounts=run.mounts,
            network=cast("Network", run.network),
            limits=Limits(timeout=self.timeout),
        )

    async def _invoke(self, message: Invoke) -> Outcome:
        if self.service is None:
            raise Unsupported("Function: no functions are deployed here; see --config")
        deployed = self.service.find(message.function)
        if (mode := deployed.settings.mode) != "stdio":
            raise Unsupported(f"function {message.function!r} speaks {mode}, and takes no messages")
        source = streams.source(message.input)
        called = self.service.call(deployed, source, trigger="message", timeout=self.timeout)
        async with called as live:
            return await self._collect(live, name=live.call.id)

    async def _collect(self, events: Events, *, run: Run | None = None, name: str = "") -> Outcome:
        kept = {"stdout": Tail(self.max_output), "stderr": Tail(self.max_output)}
        async for event in cast("AsyncIterator[Output | Exit]", events):
            if not isinstance(event, Exit):
                kept[event.stream].add(event.data)
                continue
            fate = self.codes.fate(event)
            wants = run.attach if run is not None else frozenset({"STDOUT", "STDERR"})
            values = {stream: tail.value() for stream, tail in kept.items()}
            return Outcome(
                fate=fate,
                operation="invoke" if run is None else "run",
                reason="" if fate == "ack" else f"the program {event.describe()}",
                container=name or getattr(events, "id", ""),
                exit=event,
                stdout=values["stdout"] if "STDOUT" in wants else b"",
                stderr=values["stderr"] if "STDERR" in wants else b"",
                truncated=any(tail.truncated for tail in kept.values()),
                streams=bool(wants & {"STDOUT", "STDERR"}),
            )
        raise EngineError("the events of a container ended without an exit")

    def _engine(self, what: str) -> NamedContainers:
        if self.named is None:
            raise Unsupported(f"{what}: only a Docker engine has containers with names")
        return self.named
