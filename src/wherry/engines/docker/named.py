"""Containers that keep a name, and may outlive the call that made them.

A container carries the key of whoever asked for it, so that the same request, made again after
a crash, finds what it has made before.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry.engines.docker.call import Call
from wherry.engines.docker.complaint import start_error
from wherry.engines.docker.failures import Refused
from wherry.engines.docker.owner import DEADLINE, FUNCTION, HOST, INVOCATION, OWNER
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from wherry.engines.base import Container, Stdin
    from wherry.engines.docker.engine import DockerEngine
    from wherry.models import Invocation

KEY = "wherry.request"
_REAPED = (INVOCATION, FUNCTION, OWNER, HOST, DEADLINE)


class NamedContainers:
    """Implements ``wherry.triggers.amqp.performing.NamedContainers`` on a Docker engine."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def start(
        self, invocation: Invocation, stdin: Stdin, *, name: str, key: str, keep: bool
    ) -> AsyncIterator[Container]:
        """Start a container; with ``keep`` it is left there when its program has ended."""
        call = _Named(self._engine, invocation, name=name, key=key, keep=keep,
                      has_stdin=stdin is not NOTHING)  # fmt: skip
        await self._make_room(call.name, key)
        async with self._engine.starting(call, stdin) as container:
            yield container

    async def detach(self, invocation: Invocation, *, name: str, key: str) -> str:
        """Start a container that goes on by itself, and return its id."""
        call = _Named(self._engine, invocation, name=name, key=key, keep=True, has_stdin=False)
        if (found := await self._make_room(call.name, key, running=True)) is not None:
            return found
        await self._engine.creating(call)
        try:
            await self._engine.client.call("POST", f"{call.path}/start")
        except Refused as error:
            await call.remove()
            if failure := start_error(error.reason):
                raise failure from error
            raise
        except BaseException:
            await call.remove()
            raise
        return call.container_id

    async def stop(self, container: str, *, grace: float) -> None:
        """Stop a container; harmless if it has stopped. The engine waits for 30 s at most."""
        await self._engine.management.stop(container, grace=grace)

    async def remove(self, container: str, *, volumes: bool, force: bool) -> None:
        """Remove a container, and with ``volumes`` its anonymous ones."""
        query = {"v": volumes, "force": force}
        await self._engine.client.call("DELETE", f"/containers/{container}", query=query)

    async def _make_room(self, name: str, key: str, *, running: bool = False) -> str | None:
        """Remove what an earlier try left; with ``running``, return the id of one that was begun.

        What is not of the same key stays: creating the next one then says that the name is taken.
        """
        client = self._engine.client
        try:
            found = await client.call("GET", f"/containers/{name}/json")
        except Refused as error:
            if error.status != 404:
                raise
            return None
        if (found["Config"]["Labels"] or {}).get(KEY) != key:
            return None
        if running and found["State"]["Status"] != "created":
            return str(found["Id"])
        await self.remove(found["Id"], volumes=True, force=True)
        return None


class _Named(Call):
    """A call whose container has a name of its own."""

    def __init__(
        self, engine: DockerEngine, invocation: Invocation, *, name: str, key: str, keep: bool,
        has_stdin: bool,
    ) -> None:  # fmt: skip
        super().__init__(engine.client, invocation, profile=engine.profile, has_stdin=has_stdin)
        self.name = name or f"dispatch-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
        self._keep = keep
        self._body["Labels"][KEY] = key
        if keep:  # nobody's to reap, and its logs are looked at later
            for label in _REAPED:
                self._body["Labels"].pop(label, None)
            self._body["HostConfig"].pop("LogConfig", None)

    @property
    def container_id(self) -> str:
        """The engine's own name of it."""
        assert self._id is not None
        return self._id

    async def remove(self, *, ending: bool = False) -> None:
        """Remove it, unless it is to stay and has ended well enough to."""
        if self._keep and self.container is not None and self.container.finished:
            return
        await super().remove(ending=ending)
