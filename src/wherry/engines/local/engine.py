"""The local engine: a fresh bubblewrap sandbox per call, with no daemon and no root."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from wherry.engines.closing import finish
from wherry.engines.gate import has_gate
from wherry.engines.local import bubblewrap, cgroup, marker, plan, ready, reaping
from wherry.engines.local.collecting import Written, collect_all
from wherry.engines.local.ending import Endings
from wherry.engines.local.marker import Marker
from wherry.engines.local.measuring import measure
from wherry.engines.local.ready import LocalSlot
from wherry.engines.local.settings import SANDBOX_ID, Defaults, LocalSettings, default_limits
from wherry.engines.local.starting import Entry, Started, start_sandbox
from wherry.engines.sources import sources_of
from wherry.errors import EngineError, ImageNotFound, Unsupported, UsageError
from wherry.images.store import ImageStore, Lease
from wherry.models import Collect, Invocation

if TYPE_CHECKING:
    from wherry.engines.base import Stdin, Usage
    from wherry.engines.local.container import LocalContainer
    from wherry.engines.local.plan import Plan
    from wherry.images.model import Image
    from wherry.images.progress import Progress
    from wherry.models import Function

_log = logging.getLogger(__name__)
_PLANS = 256


@dataclass(frozen=True, slots=True)
class _Planned:
    function: Function
    """Kept, so that its identity stays its own for as long as the plan is cached."""
    plan: Plan


def _key(function: Function) -> Hashable:
    """Tell functions apart: equal ones share a plan, unless it looks at files of this machine."""
    if function.mounts or function.files or function.secrets or function.collect:
        return id(function)
    return function.name, function.image, function.command, tuple(function.env.items())


class LocalEngine:
    """Implements :class:`wherry.engines.base.Engine` on this machine."""

    def __init__(
        self,
        settings: LocalSettings,
        *,
        progress: Callable[[str], AbstractContextManager[Progress]] | None = None,
    ) -> None:
        """``progress`` shows the pull of the image it is given the name of."""
        self.settings = settings
        self._progress = progress
        self._plans: OrderedDict[Hashable, _Planned] = OrderedDict()
        self._leases: dict[str, Lease] = {}
        self._running: dict[LocalContainer, str] = {}
        """Containers, and the names of their functions."""
        self._endings = Endings()
        self._ready: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def connect(cls, spec: str) -> Self:
        """Make the engine that ``local`` or ``local:DATA_DIRECTORY`` names."""
        from wherry import config

        found = config.settings()
        directory = spec.partition(":")[2]
        return cls(
            LocalSettings(
                data=Path(directory).absolute() if directory else found.data_dir,
                sandbox=(SANDBOX_ID, SANDBOX_ID) if os.geteuid() == 0 else None,
                insecure_registries=found.insecure_registries,
            )
        )

    @cached_property
    def store(self) -> ImageStore:
        """The images of this engine."""
        self.settings.make_directories()
        return ImageStore(self.settings.images, owner=self.settings.sandbox)

    @cached_property
    def cgroups(self) -> cgroup.Cgroups:
        """The control groups this process may make."""
        return cgroup.Cgroups(cgroup.detect())

    @cached_property
    def program(self) -> Path:
        """The bubblewrap that is executed."""
        found = bubblewrap.find()
        if self.settings.sandbox is None:
            return found
        return bubblewrap.reachable_copy(found, self.settings.data)

    @cached_property
    def defaults(self) -> Defaults:
        """Limits of a call that names none."""
        return self.settings.defaults or default_limits()

    async def prepare(self, function: Function) -> None:
        """Pull the function's image when its policy says so, and check all it asks for."""
        await self._plan(function)

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[LocalContainer]:
        """Start a fresh sandbox; see :class:`wherry.engines.base.Engine`."""
        planned = await self._plan(invocation.function)
        if planned.is_long(invocation) and has_gate():
            async with (
                self._standing(planned, invocation, level="created") as slot,
                slot.start(invocation, stdin) as container,
            ):
                yield container
            return
        entry = Entry(planned.argv(invocation))
        started = await self._start(planned, invocation, entry)
        async with self._call(planned, started, stdin) as container:
            yield container

    @asynccontextmanager
    async def reserve(self, function: Function) -> AsyncIterator[LocalSlot]:
        """Make a sandbox ready; see :class:`wherry.engines.base.ReadyEngine`."""
        level = function.ready.level if function.ready else "created"
        ready.check_level(level)
        planned = await self._plan(function)
        async with self._standing(planned, Invocation(function=function), level=level) as slot:
            yield slot

    @asynccontextmanager
    async def _standing(
        self, planned: Plan, own: Invocation, *, level: str
    ) -> AsyncIterator[LocalSlot]:
        gate = ready.Gate() if level == "created" else None
        sources = sources_of(planned.function)  # before they are read: at worst they are newer
        try:
            entry = Entry(gate.argv, gate.fds, gate) if gate else Entry(planned.argv(own))
            started = await self._start(planned, own, entry)
        except BaseException:
            if gate is not None:
                gate.close()
            raise
        slot = LocalSlot(
            planned,
            started.container,
            gate=gate,
            sources=sources,
            hostname=planned.hostname(own),
            begin=lambda stdin: self._call(planned, started, stdin),
            is_current=lambda: self._is_current(planned),
        )
        try:
            if gate is not None:
                gate.handed_over()
                if not await gate.opened():
                    await self._tell_why(started.container)
            else:
                await started.container.sandbox.init_pid()
            started.container.sandbox.expect_call()
            yield slot
        finally:
            if started.container in self._running:
                os.close(started.stdin)
                await finish(self._end(planned, started))

    async def _tell_why(self, container: LocalContainer) -> NoReturn:
        """Raise what kept a sandbox from standing."""
        async for _ in container:
            pass
        raise EngineError(f"container {container.id} ended before its call")

    @asynccontextmanager
    async def _call(
        self, planned: Plan, started: Started, stdin: Stdin
    ) -> AsyncIterator[LocalContainer]:
        container = started.container
        try:
            container.feed(stdin, started.stdin)
            yield container
        except BaseException:
            try:
                await finish(self._end(planned, started))
            except Exception:  # noqa: BLE001 - the caller's own error goes first
                _log.exception("cleaning up failed", extra={"container": container.id})
            raise
        if started.network is None and started.scratch is None and container.is_over:
            self._running.pop(container, None)
            self._endings.begin(container)
        else:
            await finish(self._end(planned, started))
        if error := container.take_source_error():
            raise error

    async def _start(self, planned: Plan, invocation: Invocation, entry: Entry) -> Started:
        if self._closed:
            raise EngineError("the local engine is closed")
        await self._endings.make_room(invocation.id)
        mark = self._marker(invocation)
        started = await start_sandbox(self, planned, invocation=invocation, mark=mark, entry=entry)
        self._running[started.container] = invocation.function.name
        return started

    def _is_current(self, planned: Plan) -> bool:
        found = self.store.find(planned.function.image)
        return found is not None and found.id == planned.image.id

    async def aclose(self) -> None:
        """Kill what still runs and release the images."""
        self._closed = True
        for container in tuple(self._running):
            await container.kill()
        await self.settled()
        while self._leases:
            self._leases.popitem()[1].close()

    async def usage(self, function: str) -> list[Usage]:
        """See :class:`wherry.engines.base.UsageEngine`."""
        running = self._running.items()
        containers = [each.measured() for each, name in running if name == function]
        return await asyncio.to_thread(measure, containers) if containers else []

    async def settled(self) -> None:
        """Wait until the kernel has taken apart every container whose call is over.

        Nothing of the image runs after a call, and all else is gone a moment later.
        """
        await self._endings.over()

    def running(self) -> list[reaping.Running]:
        """Return the containers of this engine's host user, whichever process called them."""
        return reaping.running(uids=self._uids())

    def reap(self) -> reaping.Reaped:
        """End what crashed callers left behind."""
        return reaping.reap(self._uids(), self.cgroups)

    def _uids(self) -> set[int]:
        own = {os.getuid()}
        return own | {self.settings.sandbox[0]} if self.settings.sandbox else own

    def _marker(self, invocation: Invocation) -> str:
        function = invocation.function
        return str(
            Marker(
                id=invocation.id,
                owner=marker.this_process(),
                function=function.name,
                image=function.image,
                labels=function.labels,
            )
        )

    async def _plan(self, function: Function) -> Plan:
        if self._closed:
            raise EngineError("the local engine is closed")
        await self._started_up()
        image = await self._image(function)
        key = _key(function)
        known = self._plans.get(key)
        if known and known.plan.image.id == image.id and known.function == function:
            self._plans.move_to_end(key)
            return known.plan
        if image.id not in self._leases:
            self._leases[image.id] = self.store.lease(image)
        made = await asyncio.to_thread(plan.make, function, image)
        self._check_limits(function)
        self._plans[key] = _Planned(function, made)
        if len(self._plans) > _PLANS:
            self._plans.popitem(last=False)
        return made

    async def _started_up(self) -> None:
        """Look around once, off the event loop: directories, cgroups, orphans of a crash."""
        if self._ready is None:
            self._ready = asyncio.ensure_future(asyncio.to_thread(self._start_up))
        try:
            await asyncio.shield(self._ready)
        except EngineError:
            self._ready = None
            raise

    def _start_up(self) -> None:
        _ = self.store, self.program, self.defaults
        self.reap()

    async def _image(self, function: Function) -> Image:
        reference = function.image
        if function.pull != "always" and (found := self.store.find(reference)):
            return found
        if function.pull == "never":
            raise ImageNotFound(
                f"image {reference!r} is not on this machine and pull is 'never'; "
                f"run `wherry image pull {reference}`"
            )
        from wherry.images.pull import pull
        from wherry.images.reference import Reference

        with self._progress(reference) if self._progress else nullcontext() as progress:
            return await pull(
                self.store,
                Reference.parse(reference),
                platform=function.platform,
                progress=progress,
                insecure=self.settings.insecure_registries,
            )

    def _check_limits(self, function: Function) -> None:
        support = self.cgroups.support
        limits = function.limits
        for name in ("memory", "cpus", "pids", "tmp"):
            if (value := getattr(limits, name)) is not None and value <= 0:
                raise UsageError(f"limits.{name} = {value} must be more than 0")
        for name, asked, can in (
            ("memory", limits.memory, support.memory),
            ("cpus", limits.cpus, support.cpu),
        ):
            if asked is not None and not can:
                raise Unsupported(
                    f"limits.{name} = {asked} cannot be enforced here: {support.reason}; "
                    "leave it out, or see `wherry doctor`"
                )

    async def _end(self, planned: Plan, started: Started) -> None:
        """End what runs, in time that is bounded by its parts, and copy out what was asked for."""
        container = started.container
        is_ending = False
        try:
            is_ending = await container.stop()
            if started.network is not None:
                await started.network.aclose()
            if container.finished and started.scratch is not None:
                await self._collect(planned, started.scratch)
        finally:
            self._running.pop(container, None)
            if started.scratch is not None:
                os.close(started.scratch)
            if is_ending:
                self._endings.begin(container)
            else:
                await container.close()

    async def _collect(self, planned: Plan, scratch: int) -> None:
        wanted = [(at.path, at.what) for at in planned.collect if isinstance(at.what, Collect)]
        written = Written(scratch=scratch, writable=planned.writable, rootfs=planned.image.rootfs)
        await asyncio.to_thread(collect_all, wanted, written)
