"""Sizes and durations as people write them: ``512m``, ``1.5g``, ``90``, ``1m30s``."""

from __future__ import annotations

import math
import re

from wherry.errors import UsageError

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgt])(?:i?b)?|b)?\s*", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(value: float | str, *, name: str = "size") -> int:
    """Return bytes: a number is bytes, ``k`` ``m`` ``g`` ``t`` are powers of 1024, as in Docker.

    Raises :class:`UsageError`, which says ``name``, for anything else and for less than 0.
    """
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        amount = float(match[1]) * _FACTORS[(match[2] or "").lower()]
        if math.isfinite(amount):
            return int(amount)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise UsageError(f"{name}: {value!r} is no size; write bytes, or a number with k, m or g")


def parse_duration(value: float | str, *, name: str = "duration") -> float:
    """Return seconds: a number is seconds, text may add ``ms``, ``s``, ``m``, ``h``, ``d``.

    Raises :class:`UsageError`, which says ``name``, for anything else and for less than 0.
    """
    seconds = _spelled_out(value.replace(" ", "")) if isinstance(value, str) else value
    if seconds is None or isinstance(seconds, bool) or not _is_time(seconds):
        raise UsageError(f"{name}: {value!r} is no duration; write seconds, or as in 1m30s")
    return float(seconds)


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0


def _spelled_out(text: str) -> float | None:
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else None


def format_size(size: int) -> str:
    """Say a number of bytes with at most one decimal: ``512 B``, ``1.5 MiB``."""
    amount = float(size)
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while amount >= 1023.95 and (larger := next(units, None)):
        amount, unit = amount / 1024, larger
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"
