"""What processes take, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

KIB = 1024


def resident(name: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes (proc_pid_status(5))."""
    return _field(Path("/proc/self/status"), name)


def resident_of(pid: int) -> int:
    """Return the bytes that a process has in memory now."""
    return _field(Path(f"/proc/{pid}/status"), "VmRSS")


def peak_of(pid: int) -> int:
    """Return the most bytes that a process ever had in memory."""
    return _field(Path(f"/proc/{pid}/status"), "VmHWM")


def available() -> int:
    """Return the bytes that could be used without swapping (proc_meminfo(5))."""
    return _field(Path("/proc/meminfo"), "MemAvailable")


def footprint(pid: int) -> tuple[int, int]:
    """Return a process's PSS and RSS in bytes: with its share of what is shared, and with all."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    return _field(rollup, "Pss"), _field(rollup, "Rss")


def descendants(pid: int | None = None) -> Iterator[int]:
    """Yield the processes that a process (or this one) started, and those that they started."""
    for children in Path(f"/proc/{pid or os.getpid()}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from descendants(child)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * KIB
    raise KeyError(f"{path} has no {name}")
