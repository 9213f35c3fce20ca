"""Nodes that did not answer, and how long each of them is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.remote.cluster.directory import Node

FIRST = 5.0
"""Seconds that a node is left alone after it did not answer; doubled each time."""
LONGEST = 60.0


@dataclass(slots=True)
class _Absence:
    reason: str
    node: Node
    until: float
    times: int


class Absences:
    """A node that did not answer is left alone for a while, and until it has written again.

    A node that was killed does not write, so it is asked no more; one that still writes but does
    not answer is asked less and less often. One that was started anew is asked at once.
    """

    def __init__(self) -> None:
        self._absent: dict[str, _Absence] = {}

    def drop(self, node: Node, *, reason: str, now: float) -> None:
        """Leave a node alone; ``now`` is our monotonic clock, in seconds."""
        before = self._absent.get(node.host)
        if before is not None and now < before.until and before.node.key == node.key:
            return  # another request that was under way has found the same
        times = before.times + 1 if before else 1
        away = min(FIRST * 2.0 ** min(times - 1, 10), LONGEST)
        self._absent[node.host] = _Absence(reason, node, now + away, times)

    def reason(self, node: Node, *, now: float) -> str | None:
        """Return why a node is left alone; None when it is asked."""
        absence = self._absent.get(node.host)
        if absence is None or absence.node.key != node.key:
            return None
        has_written = absence.node.content != node.content
        return None if has_written and now >= absence.until else absence.reason

    def answered(self, host: str) -> None:
        """Forget that a node did not answer."""
        self._absent.pop(host, None)

    def forget_others(self, hosts: set[str]) -> None:
        """Forget nodes that have left."""
        for host in self._absent.keys() - hosts:
            del self._absent[host]
