"""What is made of many samples."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that so many percent of them do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def steps(samples: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the samples in order, and for each the percentage of samples up to it."""
    ordered = sorted(samples)
    return ordered, [100 * rank / len(ordered) for rank in range(1, len(ordered) + 1)]
