"""Numbers of a cluster for Prometheus, as one node sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from wherry.remote.cluster.members import Members


class ClusterNumbers(Collector):
    """What is so now, by what was read last."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def collect(self) -> Iterator[Metric]:
        """Return the load of this node, and how many others it works with."""
        members = self._members
        for name, text, value in (
            ("load", "This node's load, as the others see it.", members.load),
            ("nodes", "Other nodes that live.", len(members.living())),
            ("silent_nodes", "Of those, the ones that did not answer.", len(members.dropped())),
        ):
            family = GaugeMetricFamily(f"wherry_remote_cluster_{name}", text)
            family.add_metric([], value)
            yield family
