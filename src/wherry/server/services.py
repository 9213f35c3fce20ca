"""A Docker engine's services, for the schedules that run them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

from wherry.errors import Conflict
from wherry.models import new_id
from wherry.triggers.cron.labels import Labelled
from wherry.triggers.cron.performing import StillRuns
from wherry.triggers.cron.swarm import ENABLED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry.engines.base import Engine
    from wherry.engines.docker.services import Services
    from wherry.triggers.cron.jobs import Events
    from wherry.triggers.cron.model import Definition


class EngineServices:
    """Implements :class:`wherry.triggers.cron.jobs.Services`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @classmethod
    def of(cls, engine: Engine) -> Self | None:
        """Return those of an engine; None for one that can have none."""
        import sys

        if "wherry.engines.docker.engine" not in sys.modules:
            return None
        from wherry.engines.docker.engine import DockerEngine

        return cls(engine.services) if isinstance(engine, DockerEngine) else None

    @asynccontextmanager
    async def run(self, definition: Definition) -> AsyncIterator[Events]:
        """Create a service of an image that runs once; leaving the block removes it."""
        from wherry.engines.docker.services import OneOff

        wanted = OneOff(
            name=f"wherry-{new_id()}",
            image=definition.image or "",
            args=definition.command or (),
            env=definition.env,
            user=definition.user,
            networks=definition.networks or (),
        )
        login = definition.registry_auth is not False
        async with self._services.run(wanted, login=login) as tasks:
            yield tasks

    @asynccontextmanager
    async def rerun(self, definition: Definition) -> AsyncIterator[Events]:
        """Start a service's tasks anew; leaving the block before their end stops them.

        Raises :class:`StillRuns` for one that others have started, unless it may be replaced.
        """
        asked = self._services.rerun(
            definition.service or "",
            replicas=definition.replicas or 1,
            login=bool(definition.registry_auth),
            beside=definition.overlap != "skip",
        )
        async with AsyncExitStack() as stack:
            try:
                tasks = await stack.enter_async_context(asked)
            except Conflict as error:
                raise StillRuns(str(error)) from error
            yield tasks

    async def look(self) -> list[Labelled]:
        """Return the services that declare schedules."""
        found = await self._services.list(labels={ENABLED: "true"})
        return [Labelled(each.name, each.labels) for each in found]
