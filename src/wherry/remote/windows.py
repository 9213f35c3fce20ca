"""How often a client may ask: fixed windows of a minute, as DockerServer's clients see them."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wherry.remote.faults import Fault
from wherry.web.rates import REMEMBERED, client_key

if TYPE_CHECKING:
    from wherry.remote.model import Caller
    from wherry.remote.settings import RemoteSettings

SECONDS = 60.0
TOO_MANY = "Too many requests, please try again later."
Burst = Literal["low", "mid", "high"]
_BURSTS: Mapping[str, Burst] = {
    "HEAD": "low", "PUT": "low", "POST": "low", "DELETE": "mid", "GET": "high"
}  # fmt: skip


def burst_of(method: str, target: str) -> Burst | None:
    """Return what a request counts as; None for what is no request of ours."""
    if method == "HEAD" and not target:
        return "high"
    return _BURSTS.get(method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a client stands after a request."""

    limit: int
    remaining: int
    left: float
    """Seconds until its window ends."""
    is_over: bool

    def headers(self, now: float) -> Mapping[str, str]:
        """Return the headers that say so; ``now`` is Unix time."""
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(now + self.left)),
        }
        return told | {"Retry-After": str(max(1, math.ceil(self.left)))} if self.is_over else told


class Windows:
    """One limit, counted for each client by itself, in constant time and bounded memory."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._begun: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def hit(self, client: str) -> Standing:
        """Count a request. A window begins with the first request after the one before."""
        now = self._clock()
        begun, count = self._begun.get(client, (now, 0))
        if now - begun >= SECONDS:
            begun, count = now, 0
        count += 1
        self._begun[client] = (begun, min(count, self._limit + 1))
        self._begun.move_to_end(client)
        if len(self._begun) > REMEMBERED:
            self._begun.popitem(last=False)
        return Standing(
            limit=self._limit,
            remaining=max(0, self._limit - count),
            left=begun + SECONDS - now,
            is_over=count > self._limit,
        )


class Limits:
    """The three limits of one server; 0 is none."""

    def __init__(
        self,
        settings: RemoteSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        bursts: dict[Burst, int] = {
            "low": settings.low_burst,
            "mid": settings.mid_burst,
            "high": settings.high_burst,
        }
        self._windows = {name: Windows(n, clock=clock) for name, n in bursts.items() if n}
        self._wall = wall

    def count(self, burst: Burst | None, caller: Caller) -> Mapping[str, str]:
        """Count a request, and return its headers; raises :class:`Fault` (429) over the limit."""
        windows = None if burst is None else self._windows.get(burst)
        if windows is None:
            return {}
        standing = windows.hit(f"{caller.name}\n{client_key(caller.address)}")
        headers = standing.headers(self._wall())
        if standing.is_over:
            raise Fault(TOO_MANY, status=429, headers=headers, is_plain=True)
        return headers
