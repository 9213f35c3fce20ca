"""What a container takes: by its control group, and else by its processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.engines.base import Usage
from wherry.engines.local import pipes

if TYPE_CHECKING:
    from wherry.engines.local.cgroup import Group

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TIMES = slice(11, 15)
"""proc(5): utime, stime, and those of children that were waited for; from the third field on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A container to look at."""

    id: str
    pid: int
    """Of the process that all others are below."""
    group: Group | None


def measure(containers: Iterable[Measured]) -> list[Usage]:
    """Look at containers; one that ends meanwhile is left out. Blocks for some file reads."""
    return [found for each in containers if (found := _measure(each)) is not None]


def _measure(container: Measured) -> Usage | None:
    group = container.group
    try:
        pids = group.members() if group is not None else set(_below(container.pid))
        memory = group.memory() if group is not None else None
        seconds = group.usage().cpu_seconds if group is not None else None
    except OSError:  # the group went while it was looked at
        return None
    if not pids:
        return None
    return Usage(
        id=container.id,
        cpu_seconds=sum(map(_cpu_seconds, pids)) if seconds is None else seconds,
        memory=sum(map(_resident, pids)) if memory is None else memory,
    )


def _below(pid: int) -> Iterator[int]:
    """Yield a process and all that are below it."""
    pending = [pid]
    while pending:
        found = pending.pop()
        yield found
        pending += [int(word) for word in _read(f"{found}/task/{found}/children").split()]


def _cpu_seconds(pid: int) -> float:
    stat = _read(f"{pid}/stat")
    fields = stat[stat.rfind(b")") + 2 :].split()
    return sum(map(int, fields[_TIMES])) * _TICK


def _resident(pid: int) -> int:
    fields = _read(f"{pid}/statm").split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _read(name: str) -> bytes:
    """Read a file of a process; empty when that has ended."""
    try:
        return pipes.read_file(f"/proc/{name}")
    except (FileNotFoundError, ProcessLookupError):
        return b""
