"""Numbers for Prometheus, and from them the advice to run more servers, or fewer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from wherry.remote.faults import Fault
from wherry.remote.model import Answer

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from wherry.remote.calls import Calls
    from wherry.remote.model import Call, Caller, Handler
    from wherry.remote.turns import Turns

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_VERBS = {
    ("GET", False): "list",
    ("HEAD", False): "list",
    ("GET", True): "logs",
    ("HEAD", True): "pull",
    ("PUT", False): "run",
    ("POST", True): "exec",
    ("DELETE", True): "remove",
}


class Metrics:
    """Counts requests, in a registry of its own, as a handler around another one."""

    def __init__(self, turns: Turns, *, calls: Calls) -> None:
        self.registry = CollectorRegistry()
        self._total = Counter(
            "wherry_remote_requests",
            "Requests by verb, and by what came of them: ok, or the kind of the failure.",
            ["verb", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "wherry_remote_request_seconds",
            "Seconds from a request to its answer; of a stream, to its beginning.",
            ["verb"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_State(turns, calls))

    def around(self, handler: Handler) -> Handler:
        """Return the handler, counted."""

        async def counted(call: Call) -> Answer:
            verb = _VERBS.get((call.method, bool(call.target)), "other")
            begun, outcome = time.perf_counter(), "ok"
            try:
                return await handler(call)
            except BaseException as error:
                outcome = str(error.status) if isinstance(error, Fault) else type(error).__name__
                raise
            finally:
                self._total.labels(verb, outcome).inc()
                self._seconds.labels(verb).observe(time.perf_counter() - begun)

        return counted

    async def page(self, caller: Caller | None) -> Answer:
        """Answer ``/metrics``."""
        del caller
        body = exposition.generate_latest(self.registry)
        return Answer(headers={"Content-Type": exposition.CONTENT_TYPE_PLAIN_0_0_4}, body=body)


class _State(Collector):
    """What is so now, read when it is asked for."""

    def __init__(self, turns: Turns, calls: Calls) -> None:
        self._turns = turns
        self._calls = calls

    def collect(self) -> Iterator[Metric]:
        turns = self._turns
        busy = (turns.running + turns.waiting) / turns.places
        for name, text, value in (
            ("capacity", "Containers in the foreground that may run at one time.", turns.places),
            ("running", "Containers in the foreground that run.", turns.running),
            ("waiting", "Requests that wait for their turn.", turns.waiting),
            ("waiting_oldest_seconds", "Seconds that the first of them has waited.", turns.oldest),
            ("expected_wait_seconds", "Seconds that one more would wait.", turns.expected_wait()),
            ("calls", "Calls of wherry's own engine under way.", self._calls.running),
            ("utilization", "What is asked for, by what there is: over 1, somebody waits.", busy),
            ("desired_servers", ("Servers like this one that would let nobody wait: the advice to "
             "an autoscaler."), turns.desired_nodes()),
        ):  # fmt: skip
            family = GaugeMetricFamily(f"wherry_remote_{name}", text)
            family.add_metric([], value)
            yield family
        refused = CounterMetricFamily(
            "wherry_remote_refused", "Requests that found the queue full."
        )
        refused.add_metric([], turns.refused)
        yield refused
