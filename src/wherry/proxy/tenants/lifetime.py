"""When tenants end: by time, with the container that holds their socket, or by the operator.

The engine's events tell what is gone. They have gaps (an engine restarts, a stream is cut), so
everything is compared anew whenever the stream begins, and once a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused, failing
from wherry.errors import EngineError
from wherry.proxy.audit import Entry
from wherry.proxy.decoder import json_objects
from wherry.proxy.tenants.model import Tenant
from wherry.proxy.tenants.reconcile import Reconcile
from wherry.proxy.tenants.teardown import Teardown

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient
    from wherry.proxy.audit import Audit
    from wherry.proxy.tenants.model import Kind, Owned
    from wherry.proxy.tenants.registry import Registry

_LOG = logging.getLogger(__name__)
_EVERY = 60.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0

Lives = Callable[[Tenant], float]
"""Seconds that a tenant's container may live; 0 is as long as the tenant."""
Close = Callable[[str], Awaitable[None]]
"""Takes a tenant's listener down with every connection of it."""

_GONE: dict[tuple[str, str], Kind] = {
    ("container", "destroy"): "container",
    ("network", "destroy"): "network",
    ("volume", "destroy"): "volume",
}


class Lifetime:
    """Ends tenants, and forgets what has ended by itself."""

    def __init__(
        self,
        registry: Registry,
        client: DockerClient,
        *,
        audit: Audit,
        close: Close,
        ended: Callable[[Tenant], None],
        lives: Lives,
    ) -> None:
        self._registry = registry
        self._client = client
        self._audit = audit
        self._close = close
        self._has_ended = ended
        self._lives = lives
        self._teardown = Teardown(registry, client, audit=audit)
        self._reconcile = Reconcile(registry, client)
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._look = asyncio.Event()
        self._waiting: dict[str, asyncio.Event] = {}

    async def begin(self) -> None:
        """Settle what another time left, and watch from now on.

        Raises :class:`EngineError` when the engine cannot be asked.
        """
        await self._reconcile.all(adopt=True)
        for tenant in self._registry.tenants():
            if tenant.depth and not tenant.container:  # its container never came to be
                self._registry.put(replace(tenant, is_ending=True))
            self.expire(tenant)
        await self._end_what_is_over()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._compare())]

    async def aclose(self) -> None:
        """Stop watching; teardowns under way are waited for. Idempotent."""
        for task in self._tasks:
            task.cancel()
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        while self._ending:
            await asyncio.wait(tuple(self._ending.values()))

    def expire(self, tenant: Tenant) -> None:
        """End a tenant when its time has come."""
        if timer := self._timers.pop(tenant.name, None):
            timer.cancel()
        if tenant.expires is not None:
            loop = asyncio.get_running_loop()
            delay = max(tenant.expires - time.time(), 0.0)
            self._timers[tenant.name] = loop.call_later(delay, self._start_ending, tenant.name)

    async def end(self, name: str) -> None:
        """Take a tenant down with all below it; returns when everything of it is gone.

        Raises :class:`EngineError` when the engine cannot be asked: it is tried again then.
        """
        await asyncio.shield(self._start_ending(name))

    def look_now(self) -> None:
        """Compare, and see whose time has come, without waiting for the next minute."""
        self._look.set()

    async def ended(self, name: str) -> None:
        """Return when a tenant has ended, whoever ended it."""
        waiting = self._waiting.setdefault(name, asyncio.Event())
        if self._registry.has(name):
            await waiting.wait()

    def _start_ending(self, name: str) -> asyncio.Task[None]:
        if (task := self._ending.get(name)) is None:
            task = asyncio.create_task(self._end(name))
            self._ending[name] = task
            task.add_done_callback(lambda done: self._ended(name, done))
        return task

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._ending.pop(name, None)
        if not task.cancelled() and (error := task.exception()):
            _LOG.warning(
                "a tenant could not be taken down; it is tried again",
                extra={"tenant": name, "error": str(error)},
            )

    async def _end(self, name: str) -> None:
        if not self._registry.has(name):
            return
        tenant = self._registry.tenant(name)
        if not tenant.is_ending:
            self._registry.put(replace(tenant, is_ending=True))
        if timer := self._timers.pop(name, None):
            timer.cancel()
        await self._close(name)
        for below in self._registry.below(name):
            if below.parent == name:
                await self.end(below.name)
        if await self._teardown.objects(name):
            self._registry.remove(name)
            self._has_ended(tenant)
            self._waiting.pop(name, asyncio.Event()).set()
            self._audit.write(Entry(tenant=name, verb="end", verdict="lifetime"))

    # ---- what the engine tells -----------------------------------------------------------

    async def _watch(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._follow()
                pause = _FIRST_PAUSE
            except EngineError as error:
                _LOG.info("the engine's events ended", extra={"error": str(error)})
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _follow(self) -> None:
        request = await self._client.request("GET", "/events")
        async with self._client.open(request) as response:
            await self._compare_now()
            with failing("events", address=self._client.address):
                async for item in json_objects(response.stream()):
                    self._tell(item)

    def _tell(self, item: dict[str, Any]) -> None:
        kind, action = item.get("Type", ""), item.get("Action", "")
        actor = item.get("Actor") or {}
        id_ = actor.get("ID", "")
        if kind == "container" and action in ("die", "destroy"):
            for tenant in self._registry.tenants():
                if tenant.container == id_:
                    self._start_ending(tenant.name)
        if gone := _GONE.get((kind, action)):
            for owned in self._registry.holders(gone, id_):
                self._registry.forget(gone, id_, tenant=owned.tenant)
        if kind == "container" and action == "exec_die":
            exec_id = (actor.get("Attributes") or {}).get("execID", "")
            for owned in self._registry.holders("exec", exec_id):
                self._registry.ended(owned)

    async def _compare(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_EVERY, self._next_end())):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._compare_now()
                await self._end_old_containers()
            except EngineError as error:
                _LOG.info("the engine cannot be asked", extra={"error": str(error)})

    def _old(self) -> list[tuple[float, Owned]]:
        """Return when each container has to end, for tenants whose containers have a time."""
        return [
            (owned.created + seconds, owned)
            for tenant in self._registry.tenants()
            if (seconds := self._lives(tenant))
            for owned in self._registry.owned(tenant.name, "container")
        ]

    def _next_end(self) -> float:
        """Return the seconds to the next end of a container, at least one."""
        ends = [end for end, _ in self._old()]
        return max(min(ends) - time.time(), 1.0) if ends else _EVERY

    async def _end_old_containers(self) -> None:
        now = time.time()
        for end, owned in self._old():
            if end <= now:
                await self._teardown.remove(owned)

    async def _compare_now(self) -> None:
        await self._reconcile.all(adopt=False)
        await self._end_what_is_over()

    async def _end_what_is_over(self) -> None:
        for tenant in self._registry.tenants():
            if tenant.is_ending or _expired(tenant) or not await self._holder_lives(tenant):
                self._start_ending(tenant.name)

    async def _holder_lives(self, tenant: Tenant) -> bool:
        """Whether the container that holds the socket can still use it."""
        if not tenant.container:
            return True
        try:
            answer = await self._client.call("GET", f"/containers/{tenant.container}/json")
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return (answer.get("State") or {}).get("Status") not in ("exited", "dead", "removing")


def _expired(tenant: Tenant) -> bool:
    return tenant.expires is not None and tenant.expires <= time.time()
