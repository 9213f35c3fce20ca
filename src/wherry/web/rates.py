"""How often somebody may ask: a rate with a burst, per client, in constant time and memory.

The generic cell rate algorithm keeps one number per client: when it will have paid for what it
asked. The `limits` library was measured first: its memory storage looks at every client that it
remembers at every request (0.75 ms with 8,000 of them), which hands an attacker with many
addresses the means to slow everybody down.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from wherry.errors import UsageError

REMEMBERED = 65536
"""Clients. Of more, the one that asked longest ago is forgotten."""

_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*(?:/|per)\s*(s|m|h|d|second|minute|hour|day)s?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds; as many at once."""

    requests: int
    seconds: float

    @classmethod
    def parse(cls, text: str, *, name: str = "rate") -> Rate:
        """Read ``100/second``, ``10/m``, ``5 per hour``. Raises :class:`UsageError`."""
        match = _RATE.fullmatch(text.strip().lower())
        if match is None:
            raise UsageError(f"{name}: {text!r} is no rate; write it as in 100/second or 10/minute")
        period = next(word for word in _PERIODS if word.startswith(match[2]))
        return cls(int(match[1]), _PERIODS[period])


FAILED_LOGINS = Rate(10, 60.0)


class RateLimit:
    """One rate, counted for each client by itself."""

    def __init__(self, rate: Rate, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cost = rate.seconds / rate.requests
        self._burst = rate.seconds
        self._clock = clock
        self._paid: OrderedDict[str, float] = OrderedDict()

    def hit(self, client: str) -> float:
        """Count a request; return 0.0, or the seconds after which the next one is welcome."""
        now = self._clock()
        wait = self._wait(client, now)
        if not wait:
            self._paid[client] = max(self._paid.get(client, now), now) + self._cost
            self._paid.move_to_end(client)
            if len(self._paid) > REMEMBERED:
                self._paid.popitem(last=False)
        return wait

    def wait(self, client: str) -> float:
        """Return the same as :meth:`hit`, and count nothing."""
        return self._wait(client, self._clock())

    def _wait(self, client: str, now: float) -> float:
        paid = max(self._paid.get(client, now), now)
        # Half a cost of slack: sums of floats must not refuse the last one that is allowed.
        return max(0.0, paid + self._cost / 2 - now - self._burst)


def client_key(address: str | None) -> str:
    """Return what a client is counted as: an IPv4 address, an IPv6 network of 64 bits.

    Whoever has one IPv6 address usually has 2**64. ``None`` is a unix socket.
    """
    if address is None:
        return "local"
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
