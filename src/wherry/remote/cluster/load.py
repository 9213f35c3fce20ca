"""How busy this machine is: its processors times its memory, as the kernel tells it.

Sources: proc_stat(5), proc_meminfo(5), the kernel's cgroup-v1 and cgroup-v2 documents.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wherry.errors import EngineError

_IDLE = (3, 4)  # of the line "cpu": idle, iowait
_FIELDS = 8  # up to "steal"; what guests used is in "user" already


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    at: float
    busy: int
    total: int
    groups: dict[Path, tuple[float, float]] = field(default_factory=dict)
    """Of every control group of ours with a limit: seconds used, processors allowed."""


class Load:
    """The load of this machine, or of our control groups where those are the tighter limit.

    The first figure is of the time since this object was made, each later one of the time since
    the one before.
    """

    def __init__(
        self, root: Path = Path("/"), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._clock = clock
        self._before = self._sample()

    def measure(self) -> float:
        """Return cpu fraction times memory fraction; raises EngineError."""
        try:
            before, now = self._before, self._sample()
            memory = self._memory()
        except (KeyError, ValueError, IndexError) as error:
            raise EngineError(f"/proc is not as Linux has it: {error!r}") from error
        self._before = now
        return round(_processors(before, now) * memory, 6)

    def _sample(self) -> _Sample:
        words = self._text("proc/stat").partition("\n")[0].split()[1:]
        ticks = [int(word) for word in words[:_FIELDS]]
        idle = sum(ticks[each] for each in _IDLE)
        groups = {path: limited for path in self._groups("cpu") if (limited := _cpu(path))}
        return _Sample(at=self._clock(), busy=sum(ticks) - idle, total=sum(ticks), groups=groups)

    def _memory(self) -> float:
        lines = self._text("proc/meminfo").splitlines()
        kilobytes = {name: int(rest.split()[0]) for line in lines for name, _, rest in
                     [line.partition(":")]}  # fmt: skip
        total = kilobytes["MemTotal"] * 1024
        fractions = [1 - kilobytes["MemAvailable"] * 1024 / total]
        for path in self._groups("memory"):
            used, limit = _memory(path)
            if limit is not None and 0 < limit < total:
                fractions.append(used / limit)
        return _fraction(max(fractions))

    def _text(self, name: str) -> str:
        try:
            return (self._root / name).read_text()
        except OSError as error:
            raise EngineError(f"/{name} cannot be read: {error.strerror}") from error

    def _groups(self, controller: str) -> Iterator[Path]:
        """Yield our control group and those it is in, for one controller of either version."""
        mount = self._root / "sys/fs/cgroup"
        for line in self._text("proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                tops = [mount, mount / "unified"]
            elif controller in controllers.split(","):
                tops = [mount / controller, mount / controllers]
            else:
                continue
            for top in tops:
                inner = Path(os.path.normpath(f"{top}/{path}"))
                yield from (each for each in (inner, *inner.parents) if each.is_relative_to(top))


def _processors(before: _Sample, now: _Sample) -> float:
    ticks = now.total - before.total
    fractions = [(now.busy - before.busy) / ticks if ticks > 0 else 0.0]
    seconds = now.at - before.at
    for path, (used, allowed) in now.groups.items():
        if path in before.groups and seconds > 0:
            fractions.append((used - before.groups[path][0]) / seconds / allowed)
    return _fraction(max(fractions))


def _cpu(group: Path) -> tuple[float, float] | None:
    """Return (seconds used, processors allowed) of a group that is limited."""
    if (limit := _read(group / "cpu.max")) is not None:  # version 2
        quota, _, period = limit.partition(" ")
        used = _named(group / "cpu.stat", "usage_usec")
        if quota == "max" or used is None:
            return None
        return used / 1e6, int(quota) / int(period)
    most, every = (_number(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    usage = _usage(group)
    if most is None or every is None or most <= 0 or every <= 0 or usage is None:
        return None
    return usage / 1e9, most / every


def _usage(group: Path) -> int | None:
    """Return nanoseconds from the accounting controller, which may be mounted elsewhere."""
    found = _number(group / "cpuacct.usage")
    if found is None and "cpu" in group.parts:
        parts = ["cpuacct" if part == "cpu" else part for part in group.parts]
        found = _number(Path(*parts) / "cpuacct.usage")
    return found


def _memory(group: Path) -> tuple[int, int | None]:
    """Return (bytes that cannot be given back at once, limit) of a group."""
    for used, limit, inactive in (
        ("memory.current", "memory.max", "inactive_file"),
        ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"),
    ):
        current = _number(group / used)
        if current is not None:
            given_back = _named(group / "memory.stat", inactive) or 0
            return max(0, current - given_back), _number(group / limit)
    return 0, None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # the group has no such limit, or we may not see it
        return None


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def _named(path: Path, name: str) -> int | None:
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return None


def _fraction(value: float) -> float:
    return min(1.0, max(0.0, value))
