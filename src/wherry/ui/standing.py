"""How a function does now, as the pages say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wherry.ui import formats
from wherry.ui.charts import Chart, Line, chart, spark

if TYPE_CHECKING:
    from wherry.functions.model import Deployed
    from wherry.service.recent import Recent, Series, Summary
    from wherry.service.service import FunctionService
    from wherry.ui.parts import Dashboard

State = Literal["running", "waiting", "ready", "starting", "idle"]

MEANINGS: dict[State, str] = {
    "running": "calls run now",
    "waiting": "calls wait for a place",
    "ready": "a container waits for the next call",
    "starting": "containers are being made ready",
    "idle": "nothing runs; the next call starts it",
}
_SPARK_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One function now."""

    deployed: Deployed
    state: State
    running: int
    waiting: int
    ready: int
    wanted: int
    """Containers by intent: kept ready, and running."""
    recent: Summary
    spark: Line | None
    invocations: int

    @property
    def path(self) -> str:
        """Where its page is."""
        return path_of(self.deployed.qualified)

    @property
    def meaning(self) -> str:
        """What its state says."""
        return MEANINGS[self.state]


def path_of(qualified: str) -> str:
    """Return where a function's page is; names need no quoting."""
    return f"/ui/functions/{qualified}"


def standing(dashboard: Dashboard, deployed: Deployed) -> Standing:
    """Return how a function does now."""
    service, recent = dashboard.service, dashboard.recent
    return Standing(
        deployed=deployed,
        state=_state(service, deployed),
        running=service.running(deployed),
        waiting=service.waiting(deployed),
        ready=service.ready(deployed),
        wanted=service.replicas(deployed),
        recent=recent.summary(deployed.qualified),
        spark=spark(recent.series(deployed.qualified, steps=_SPARK_STEPS).rate),
        invocations=dashboard.functions.invocations(deployed.qualified),
    )


def charts(recent: Recent, qualified: str | None = None) -> tuple[Chart, Chart]:
    """Return the calls a second and the latency of the last minutes."""
    series: Series = recent.series(qualified)
    calls = chart(
        "Calls per second",
        [("calls", "calls", series.rate), ("failed", "failed", series.failed)],
        say=formats.rate,
    )
    latency = chart(
        "Latency",
        [("p99", "slow", series.p99), ("p50", "fast", series.p50)],
        say=formats.seconds,
        decades=True,
    )
    return calls, latency


def _state(service: FunctionService, deployed: Deployed) -> State:
    if service.waiting(deployed):
        return "waiting"
    if service.running(deployed):
        return "running"
    if service.ready(deployed):
        return "ready"
    pool = service.pools.get(deployed.qualified)
    return "starting" if pool is not None and service.replicas(deployed) else "idle"
