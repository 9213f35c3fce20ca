"""Nodes that did not answer, and how long each of them is left alone."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 5.0
"""Seconds that a node is left alone after it did not answer; doubled each time."""
LONGEST = 60.0


@dataclass(slots=True)
class _Absence:
    reason: str
    content: bytes
    until: float
    times: int


class Absences:
    """A node that did not answer is left alone for a while, and until it has written again.

    A node that was killed does not write, so it is asked no more; one that still writes but does
    not answer is asked less and less often.
    """

    def __init__(self) -> None:
        self._absent: dict[str, _Absence] = {}

    def drop(self, host: str, *, reason: str, content: bytes, now: float) -> None:
        """Leave a node alone; ``content`` is the state of it that is known."""
        before = self._absent.get(host)
        if before is not None and now < before.until:
            return  # another request that was under way has found the same
        times = before.times + 1 if before else 1
        away = min(FIRST * 2.0 ** min(times - 1, 10), LONGEST)
        self._absent[host] = _Absence(reason, content, now + away, times)

    def reason(self, host: str, *, content: bytes, now: float) -> str | None:
        """Return why a node with this state is left alone; None when it is asked."""
        absence = self._absent.get(host)
        if absence is None or (absence.content != content and now >= absence.until):
            return None
        return absence.reason

    def answered(self, host: str) -> None:
        """Forget that a node did not answer."""
        self._absent.pop(host, None)

    def forget_others(self, hosts: set[str]) -> None:
        """Forget nodes that have left."""
        for host in self._absent.keys() - hosts:
            del self._absent[host]
