"""How the calls of the last minutes went, per function and of all together; bounded."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.service.outcome import status_of

if TYPE_CHECKING:
    from wherry.functions.model import Deployed
    from wherry.models import Output
    from wherry.service.call import Call

STEP = 5.0
"""Seconds that are looked at together."""
STEPS = 120
"""Steps that are remembered: ten minutes."""
MINUTE = 60.0
FUNCTIONS = 512
"""Functions that are remembered. Of more, the one called longest ago is forgotten."""

_PER_DOUBLING = 8
"""Bins of latency: each is 9 % wide, so a percentile is that exact."""
_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The calls of some time."""

    calls: int = 0
    failed: int = 0
    """Answered 500 or above, or 429."""
    rate: float = 0.0
    """Calls a second over the last minute."""
    p50: float | None = None
    """Seconds from the request to the end of the call; None when no call ran to its end."""
    p99: float | None = None

    @property
    def failing(self) -> float:
        """The part of calls that failed, 0 to 1."""
        return self.failed / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One value for each step, the oldest first; the step that is not over yet is left out."""

    rate: tuple[float, ...]
    """Calls a second."""
    failed: tuple[float, ...]
    """Failed calls a second."""
    p50: tuple[float | None, ...]
    p99: tuple[float | None, ...]


class _Step:
    """The calls that ended within one step."""

    __slots__ = ("bins", "calls", "failed", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = 0
        self.failed = 0
        self.bins: dict[int, int] = {}

    def add(self, *, failed: bool, seconds: float | None) -> None:
        self.calls += 1
        self.failed += failed
        if seconds is not None:
            found = _bin(seconds)
            self.bins[found] = self.bins.get(found, 0) + 1


_Steps = deque[_Step]


class Recent:
    """Remembers the last minutes of calls, as an :class:`wherry.service.call.Observer`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: _Steps = deque(maxlen=STEPS + 1)
        self._functions: OrderedDict[str, _Steps] = OrderedDict()

    # ---- Observer --------------------------------------------------------------------------

    def began(self, call: Call) -> None:
        """Note nothing: a call counts when it ends."""

    def started(self, call: Call) -> None:
        """Note nothing."""

    def wrote(self, call: Call, output: Output) -> None:
        """Note nothing."""

    def ended(self, call: Call) -> None:
        """Count a call that is over."""
        status = status_of(call)
        failed = status >= 500 or status == 429
        ran = call.started is not None and call.ended is not None
        seconds = max(call.ended - call.began, _SHORTEST) if ran and call.ended else None
        number = self._now()
        for steps in (self._all, self._of(call.deployed.qualified)):
            if not steps or steps[-1].number != number:
                steps.append(_Step(number))
            steps[-1].add(failed=failed, seconds=seconds)

    def changed(self, qualified: str, deployed: Deployed | None) -> None:
        """Forget a function that was removed."""
        if deployed is None:
            self._functions.pop(qualified, None)

    # ---- reading ---------------------------------------------------------------------------

    def active(self) -> set[str]:
        """Return the functions that were called in the time that is remembered."""
        oldest = self._now() - STEPS
        return {name for name, steps in self._functions.items() if steps[-1].number > oldest}

    def summary(self, qualified: str | None = None) -> Summary:
        """Return what is remembered of a function, or of all calls."""
        now = self._now()
        steps = [step for step in self._steps(qualified) if step.number > now - STEPS]
        minute = sum(step.calls for step in steps if step.number > now - MINUTE / STEP)
        bins = _joined(steps)
        return Summary(
            calls=sum(step.calls for step in steps),
            failed=sum(step.failed for step in steps),
            rate=minute / MINUTE,
            p50=_percentile(bins, 0.5),
            p99=_percentile(bins, 0.99),
        )

    def series(self, qualified: str | None = None, *, steps: int = STEPS) -> Series:
        """Return how it went on, in so many ``steps`` up to now."""
        found = {step.number: step for step in self._steps(qualified)}
        now = self._now()
        wanted = [found.get(number) for number in range(now - steps, now)]
        return Series(
            rate=tuple(step.calls / STEP if step else 0.0 for step in wanted),
            failed=tuple(step.failed / STEP if step else 0.0 for step in wanted),
            p50=tuple(_percentile(step.bins, 0.5) if step else None for step in wanted),
            p99=tuple(_percentile(step.bins, 0.99) if step else None for step in wanted),
        )

    def _now(self) -> int:
        return int(self._clock() / STEP)

    def _steps(self, qualified: str | None) -> Iterable[_Step]:
        return self._all if qualified is None else self._functions.get(qualified, ())

    def _of(self, qualified: str) -> _Steps:
        steps = self._functions.get(qualified)
        if steps is None:
            steps = self._functions[qualified] = deque(maxlen=STEPS + 1)
            if len(self._functions) > FUNCTIONS:
                self._functions.popitem(last=False)
        else:
            self._functions.move_to_end(qualified)
        return steps


def _bin(seconds: float) -> int:
    return math.floor(math.log2(seconds) * _PER_DOUBLING)


def _joined(steps: Iterable[_Step]) -> dict[int, int]:
    joined: dict[int, int] = {}
    for step in steps:
        for found, count in step.bins.items():
            joined[found] = joined.get(found, 0) + count
    return joined


def _percentile(bins: dict[int, int], part: float) -> float | None:
    """Return the middle of the bin in which the percentile lies."""
    wanted = math.ceil(sum(bins.values()) * part)
    for found in sorted(bins):
        wanted -= bins[found]
        if wanted <= 0:
            return float(2 ** ((found + 0.5) / _PER_DOUBLING))
    return None
