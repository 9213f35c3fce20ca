"""Amounts as Kubernetes and Go write them: ``128Mi``, ``250m``, ``1m30s``."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from wherry.errors import UsageError

_QUANTITY = re.compile(
    r"(\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([KMGTPE]i|[numkMGTPE]))?", re.ASCII
)
_FACTORS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
_MOST = 2**63 - 1

_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+", re.ASCII)


def parse_bytes(text: str, *, field: str) -> int:
    """Return the bytes of ``128Mi``, ``1G`` or ``1048576``; at least one.

    Raises :class:`UsageError` naming ``field``. Kubernetes' suffixes: ``Mi`` is 1024², ``M`` is
    1000², and ``m`` is a thousandth, which nobody means here.
    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    amount = _amount(text)
    if amount is None or not 0 < amount <= _MOST:
        raise UsageError(f"{field}: {text!r} is no size; write bytes, or as in 128Mi or 2Gi")
    if amount < 1:
        raise UsageError(
            f"{field}: {text!r} is less than one byte, as 'm' is a thousandth here; "
            f"write {text.rstrip('mun')}Mi"
        )
    return math.ceil(amount)


def parse_cpus(text: str, *, field: str) -> float:
    """Return the cores of ``250m`` (a quarter) or ``1.5``; raises :class:`UsageError`."""
    amount = _amount(text)
    if amount is None or not 0 < amount < 1_000_000:
        raise UsageError(f"{field}: {text!r} is no number of cores; write 1.5, or as in 250m")
    return float(amount)


def parse_seconds(text: str, *, field: str) -> float:
    """Return the seconds of a Go duration (``1m30s``, ``500ms``), or of a plain number.

    Raises :class:`UsageError` naming ``field``. https://pkg.go.dev/time#ParseDuration
    """
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    else:
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise UsageError(f"{field}: {text!r} is no duration; write seconds, or as in 1m30s")
        total = sum(Decimal(number) * _NANOSECONDS[unit] for number, unit in parts)
        seconds = float(total / 10**9)
    if not math.isfinite(seconds):
        raise UsageError(f"{field}: {text!r} is longer than anything lasts")
    return seconds


def _amount(text: str) -> Decimal | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, exponent, unit = match.groups()
    return Decimal(number + (exponent or "")) * _FACTORS[unit or ""]
