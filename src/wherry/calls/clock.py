"""Two clocks: one to show, one to wait by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


@dataclass(frozen=True, slots=True)
class Clock:
    """Times that are shown are Unix time; leases and delays go by a clock that nobody can set.

    The steady one is the same for all processes until the machine starts anew.
    """

    wall: Callable[[], float] = time.time
    """Unix seconds."""
    steady: Callable[[], float] = time.monotonic
    """Seconds since some moment of this boot."""
    boot: Callable[[], str] = _boot
    """Names the boot that ``steady`` belongs to."""
