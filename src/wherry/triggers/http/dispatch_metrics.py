"""Numbers of dispatched queues, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from wherry.triggers.amqp.service import Dispatching


class DispatchMetrics(Collector):
    """What the dispatchers of one server have done, read when it is asked for."""

    def __init__(self, dispatching: Dispatching) -> None:
        self._queues = dispatching.queues

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to say of each queue."""
        if not self._queues:
            return
        labels = ["dispatch"]
        connected = GaugeMetricFamily(
            "wherry_dispatch_connected", "1 while messages are heard.", labels=labels
        )
        running = GaugeMetricFamily(
            "wherry_dispatch_running", "Messages that are being dealt with.", labels=labels
        )
        ended = CounterMetricFamily(
            "wherry_dispatch_messages",
            "Messages that ended: acknowledged, rejected, or repeated from the record.",
            labels=[*labels, "outcome"],
        )
        retried = CounterMetricFamily(
            "wherry_dispatch_retries", "Tries that were followed by another.", labels=labels
        )
        for each in self._queues:
            tally = each.dispatcher.tally
            connected.add_metric([each.name], each.dispatcher.connected.is_set())
            running.add_metric([each.name], each.dispatcher.running)
            retried.add_metric([each.name], tally.retried)
            for outcome in ("acknowledged", "rejected", "repeated"):
                ended.add_metric([each.name, outcome], getattr(tally, outcome))
        yield from (connected, running, ended, retried)
