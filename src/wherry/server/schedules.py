"""Schedules as a part of the server: what they run on, and where they are declared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry.functions.files import is_stack
from wherry.server.containers import EngineContainers
from wherry.server.services import EngineServices
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.jobs import Jobs
from wherry.triggers.cron.reporting import Reports
from wherry.triggers.cron.scheduler import Scheduler
from wherry.triggers.cron.service import Schedules
from wherry.triggers.cron.sources import ScheduleSources
from wherry.triggers.cron.store import ScheduleStore

if TYPE_CHECKING:
    from wherry.client import AsyncClient
    from wherry.engines.base import Engine
    from wherry.server.options import ServeOptions
    from wherry.service.service import FunctionService
    from wherry.triggers.cron.model import Run, Schedule
    from wherry.triggers.http.schedule_metrics import ScheduleMetrics


@asynccontextmanager
async def scheduled(
    options: ServeOptions,
    engine: Engine,
    *,
    service: FunctionService,
    client: AsyncClient,
    metrics: ScheduleMetrics,
) -> AsyncIterator[Schedules]:
    """Open the schedules; leaving the block ends what still runs.

    ``metrics`` counts their runs. Raises :class:`wherry.errors.WherryError` for a state that
    cannot be used.
    """
    containers = EngineContainers.of(engine)
    services = EngineServices.of(engine)
    jobs = Jobs(
        service=service,
        client=client,
        containers=containers,
        services=services,
        local=options.schedule_local,
    )
    clock = WallClock()
    try:
        async with await ScheduleStore.open(options.state) as store:
            scheduler = await Scheduler.open(
                store, jobs, clock=clock, kinds=jobs.kinds, report=_Counted(metrics)
            )
            metrics.known = scheduler.known
            files = [path for path in options.files if not is_stack(path)]
            look = containers.look if containers and options.ofelia_labels else None
            look_at_services = services.look if services and options.swarm_labels else None
            sources = ScheduleSources(
                scheduler,
                [*files, *options.ofelia],
                look=look,
                look_at_services=look_at_services,
            )
            await sources.apply()
            try:
                yield Schedules(scheduler, sources)
            finally:
                await scheduler.aclose()
    finally:
        clock.close()


class _Counted:
    """Counts a run, and tells those who are to be told."""

    def __init__(self, metrics: ScheduleMetrics) -> None:
        self._metrics = metrics
        self._reports = Reports()

    async def __call__(self, schedule: Schedule, run: Run) -> None:
        """See :class:`wherry.triggers.cron.scheduler.Report`."""
        self._metrics.note(run)
        await self._reports(schedule, run)
