"""Amounts written as Kubernetes and Go do: the way back, for round trips."""

from __future__ import annotations

from decimal import Decimal


def format_bytes(amount: int) -> str:
    """Write bytes as Kubernetes does, without loss: ``128Mi``, ``1000``."""
    for power, unit in reversed(list(enumerate("KMGTPE", 1))):
        factor = 1024**power
        if amount and amount % factor == 0:
            return f"{amount // factor}{unit}i"
    return str(amount)


def format_seconds(seconds: float) -> str:
    """Write seconds as a Go duration, to the nanosecond: ``1m30s``, ``0.5s``."""
    left = round(Decimal(repr(seconds)) * 10**9)
    hours, left = divmod(left, 3600 * 10**9)
    minutes, left = divmod(left, 60 * 10**9)
    whole, part = divmod(left, 10**9)
    last = f"{whole}.{part:09d}".rstrip("0").rstrip(".")
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    return text + (f"{last}s" if last != "0" or not text else "")
