"""Numbers of schedules, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from wherry.triggers.cron.model import Run


class ScheduleMetrics(Collector):
    """Counts runs by how they ended, since the server started; those of removed schedules go."""

    def __init__(self) -> None:
        self.known: Container[str] = frozenset()
        """The names that there are now."""
        self._ended: Counter[tuple[str, str]] = Counter()
        self._succeeded: dict[str, float] = {}

    def note(self, run: Run) -> None:
        """Count a run that is over; a record of missed ones counts each."""
        self._ended[run.name, run.status] += run.count
        if run.status == "succeeded" and run.ended is not None:
            self._succeeded[run.name] = run.ended

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        self._forget()
        runs = CounterMetricFamily(
            "wherry_schedule_runs", "Runs that ended, by how.", labels=["schedule", "status"]
        )
        for (name, status), count in self._ended.items():
            runs.add_metric([name, status], count)
        yield runs
        latest = GaugeMetricFamily(
            "wherry_schedule_last_success_timestamp_seconds",
            "When a schedule succeeded last, in Unix seconds.",
            labels=["schedule"],
        )
        for name, moment in self._succeeded.items():
            latest.add_metric([name], moment)
        yield latest

    def _forget(self) -> None:
        for name, status in list(self._ended):
            if name not in self.known:
                del self._ended[name, status]
                self._succeeded.pop(name, None)
