"""Whose container it is: labels that a reaper reads, on this host or on another."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.models import Invocation

INVOCATION = "wherry.invocation"
OWNER = "wherry.owner"
HOST = "wherry.host"
DEADLINE = "wherry.deadline"
FUNCTION = "wherry.function"
NAME_PREFIX = "wherry-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process that started a container, as no other process anywhere is called."""

    place: str
    """The boot of a host and the pid namespace in it: pids of another place mean nothing here."""
    pid: int
    start: int
    """Start time in clock ticks since boot (proc(5), ``stat`` field 22)."""

    def __str__(self) -> str:
        return f"{self.place}/{self.pid}/{self.start}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Read what ``str()`` wrote; None for anything else."""
        place, _, process = text.rpartition("/")[0].rpartition("/")
        start = text.rpartition("/")[2]
        if not (place and process.isdigit() and start.isdigit()):
            return None
        return cls(place=place, pid=int(process), start=int(start))

    def is_gone(self) -> bool:
        """Whether the process has certainly ended. False also when we cannot know."""
        return self.place == _place() and _start_time(self.pid) != self.start


def this_process() -> Owner:
    """Return who we are."""
    pid = os.getpid()
    return Owner(place=_place(), pid=pid, start=_start_time(pid) or 0)


def labels_of(invocation: Invocation) -> Mapping[str, str]:
    """Return the labels of a container: the function's own, and those a reaper needs."""
    timeout = invocation.function.limits.timeout
    return {
        **invocation.function.labels,
        INVOCATION: invocation.id,
        FUNCTION: invocation.function.name,
        OWNER: str(this_process()),
        HOST: socket.gethostname(),
        DEADLINE: "" if timeout is None else f"{time.time() + timeout:.0f}",
    }


def container_name(invocation_id: str) -> str:
    """Return the name of an invocation's container, by which it is found without its id."""
    return NAME_PREFIX + invocation_id


@cache
def _place() -> str:
    """Two hosts never have the same place; two containers on one kernel do not either."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116
    except OSError:  # not Linux: nobody can know whether we live, so nobody reaps ours
        return uuid.uuid4().hex


def _start_time(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
