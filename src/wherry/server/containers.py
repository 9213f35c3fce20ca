"""A Docker engine's containers by name, for the triggers that ask for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from wherry.triggers.cron.labels import ENABLED, Labelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping, Sequence

    from wherry.engines.base import Engine
    from wherry.engines.docker.engine import DockerEngine
    from wherry.triggers.amqp.performing import NamedContainers
    from wherry.triggers.cron.jobs import Events


class EngineContainers:
    """Implements :class:`wherry.triggers.cron.jobs.Containers`."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine

    @classmethod
    def of(cls, engine: Engine) -> Self | None:
        """Return those of an engine; None for one that has no containers by name."""
        docker = _docker(engine)
        return cls(docker) if docker is not None else None

    @asynccontextmanager
    async def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterable[bytes],
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
    ) -> AsyncIterator[Events]:
        """Run a program in a running container; leaving the block before its end kills it."""
        from wherry.engines.docker.exec_killing import killed_when_left

        asked = killed_when_left(
            self._engine.management,
            container,
            command=command,
            stdin=stdin,
            env=env,
            user=user,
            workdir=workdir,
        )
        async with asked as running:
            yield running

    @asynccontextmanager
    async def start(self, container: str) -> AsyncIterator[Events]:
        """Start a stopped container once more; leaving the block kills it, and keeps it."""
        from wherry.engines.docker.restarting import restarted

        engine = self._engine
        async with restarted(engine.client, container, management=engine.management) as running:
            yield running

    async def look(self) -> list[Labelled]:
        """Return the running containers that declare jobs."""
        found = await self._engine.management.list(labels={ENABLED: None})
        return [Labelled(each.name, each.labels) for each in found]


def named_containers(engine: Engine) -> NamedContainers | None:
    """Return an engine's containers that keep a name; None for one that has none."""
    if (docker := _docker(engine)) is None:
        return None
    from wherry.engines.docker.named import NamedContainers as OfDocker

    return OfDocker(docker)


def _docker(engine: Engine) -> DockerEngine | None:
    import sys

    if "wherry.engines.docker.engine" not in sys.modules:
        return None
    from wherry.engines.docker.engine import DockerEngine

    return engine if isinstance(engine, DockerEngine) else None
