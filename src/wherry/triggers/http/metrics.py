"""Numbers for Prometheus: the OpenFaaS gateway's names, and ours for what it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.routing import Route

from wherry.errors import NotFound
from wherry.service.outcome import status_of

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from wherry.calls.model import QueueStats
    from wherry.functions.model import Deployed
    from wherry.models import Output
    from wherry.service.call import Call
    from wherry.service.service import FunctionService
    from wherry.triggers.http.parts import Parts

_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)


class Metrics:
    """Counts calls, as an :class:`wherry.service.call.Observer`, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._state: _State | None = None
        name, code = "function_name", "code"
        self._total = Counter(
            "gateway_function_invocation",
            "Calls that ended, by function and HTTP status.",
            [name, code],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gateway_functions_seconds",
            "Seconds from the request to the end of the call.",
            [name, code],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._started = Counter(
            "gateway_function_invocation_started",
            "Calls that were asked for.",
            [name],
            registry=self.registry,
        )
        self._engine = Histogram(
            "wherry_engine_start_seconds",
            "Seconds from the request until the call had its container, waiting included.",
            [name],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def began(self, call: Call) -> None:
        """Count a call that was asked for."""
        self._started.labels(call.deployed.qualified).inc()

    def started(self, call: Call) -> None:
        """Note how long it took to have its container."""
        if call.started is not None:
            self._engine.labels(call.deployed.qualified).observe(call.started - call.began)

    def wrote(self, call: Call, output: Output) -> None:
        """Count nothing."""

    def ended(self, call: Call) -> None:
        """Count a call that is over."""
        if self._state is not None and not self._state.has(call.deployed):
            self.forget(call.deployed.qualified, None)  # it was removed while the call ran
            return
        labels = (call.deployed.qualified, str(status_of(call)))
        self._total.labels(*labels).inc()
        if call.ended is not None:
            self._seconds.labels(*labels).observe(max(0.0, call.ended - call.began))

    def forget(self, qualified: str, deployed: Deployed | None) -> None:
        """Drop the numbers of a function that was removed: names must not pile up."""
        if deployed is not None:
            return
        for family in (self._total, self._seconds, self._started, self._engine):
            family.remove_by_labels({"function_name": qualified})

    def watch(self, service: FunctionService) -> None:
        """Show the state of a service, too."""
        service.functions.watch(self.forget)
        self._state = _State(service)
        self.registry.register(self._state)

    def text(self, *, queue: QueueStats | None = None) -> tuple[bytes, str]:
        """Return all of it as Prometheus reads it, and its media type.

        ``queue`` is the state of the queue of calls now, where there is one.
        """
        if self._state is not None:
            self._state.queue = queue
        return exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_PLAIN_0_0_4


class _State(Collector):
    """What is so now, read when it is asked for."""

    def __init__(self, service: FunctionService) -> None:
        self._service = service
        self.queue: QueueStats | None = None

    def has(self, deployed: Deployed) -> bool:
        """Whether there is a function of that name."""
        try:
            self._service.functions.get(deployed.name, namespace=deployed.namespace)
        except NotFound:
            return False
        return True

    def collect(self) -> Iterator[Metric]:
        yield from self._functions()
        yield from self._pools()
        running = GaugeMetricFamily("wherry_calls_running", "Calls that run now.")
        running.add_metric([], self._service.admission.running)
        yield running
        waiting = GaugeMetricFamily("wherry_calls_waiting", "Calls that wait for a place now.")
        waiting.add_metric([], self._service.admission.waiting)
        yield waiting
        yield from self._queued()

    def _functions(self) -> Iterator[Metric]:
        labels = ["function_name"]
        count = GaugeMetricFamily(
            "gateway_service_count", "Containers: kept ready, and running.", labels=labels
        )
        for deployed in self._service.functions.list():
            count.add_metric([deployed.qualified], self._service.replicas(deployed))
        yield count

    def _pools(self) -> Iterator[Metric]:
        labels = ["function_name"]
        ready = GaugeMetricFamily(
            "wherry_ready_containers", "Containers that wait for a call.", labels=labels
        )
        counters = {
            "hits": "Calls that found a ready container.",
            "misses": "Calls that had to make their container.",
            "prepared": "Containers that were made ready.",
            "discarded": "Ready containers that were given up unused.",
        }
        families = {
            name: CounterMetricFamily(f"wherry_ready_{name}", text, labels=labels)
            for name, text in counters.items()
        }
        for name, stats in self._service.pools.items():
            ready.add_metric([name], stats.ready)
            for counter, family in families.items():
                family.add_metric([name], getattr(stats, counter))
        yield ready
        yield from families.values()

    def _queued(self) -> Iterator[Metric]:
        queue = self.queue
        if queue is None:
            return
        for name, text, value in (
            ("depth", "Calls that wait in the queue.", queue.queued),
            ("running", "Calls of the queue that run.", queue.running),
            ("oldest_age", "Seconds that the oldest call waits that could run.", queue.oldest),
            ("dead", "Calls in the dead-letter list.", queue.dead),
            ("callbacks", "Results that are still to be told.", queue.callbacks),
        ):
            family = GaugeMetricFamily(f"wherry_queue_{name}", text)
            family.add_metric([], value or 0)
            yield family
        dropped = CounterMetricFamily(
            "wherry_records_dropped", "Records of calls that came faster than the disk."
        )
        dropped.add_metric([], queue.dropped)
        yield dropped


def routes(parts: Parts) -> list[Route]:
    """Return ``/metrics``."""

    async def metrics(request: Request) -> Response:
        assert parts.metrics is not None
        queue = await parts.calls.stats() if parts.calls is not None else None
        body, kind = parts.metrics.text(queue=queue)
        return Response(body, headers={"Content-Type": kind})

    return [Route("/metrics", metrics, methods=["GET"])] if parts.metrics else []
