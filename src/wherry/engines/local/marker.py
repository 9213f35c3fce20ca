"""How a sandbox is known again: by its own command line, so that no file can be left behind.

Every process of a sandbox's own (launcher, bubblewrap, its init) carries a marker as argv[0]:
what it runs and who owns it. A reaper of a later process reads it in ``/proc``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from wherry.engines.local import pipes

_PREFIX = "wherry-sandbox "
ID_ROOM = 128
"""Characters that an id may have which takes another's place; blanks behind it keep them free."""
_PROC = Path("/proc")
_KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of linux/sched.h."""
_EXECVE_PATIENCE = 100
"""Looks at one process, before it counts as one that has no command line."""
_ARGUMENTS_READ = 5
"""The marker is argv[0], or an argument of the interpreter that runs ``launcher.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process that owns sandboxes, told apart from a later one with the same pid."""

    pid: int
    start: int
    """Start time in clock ticks since boot (proc(5), ``stat`` field 22)."""
    namespace: int
    """Inode of its pid namespace: pids of another one mean nothing here."""

    def __str__(self) -> str:
        return f"{self.pid}-{self.start}-{self.namespace}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Read what ``str()`` wrote; raises ValueError for anything else."""
        pid, start, namespace = (int(part) for part in text.split("-"))
        return cls(pid=pid, start=start, namespace=namespace)

    def is_gone(self) -> bool:
        """Whether the owner has certainly ended. False also when we cannot know."""
        if self.namespace != _pid_namespace(os.getpid()):
            return False
        return start_time(self.pid) != self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a sandbox says of itself."""

    id: str
    owner: Owner
    function: str
    image: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        fields = {
            "id": self.id,
            "owner": str(self.owner),
            "function": self.function,
            "image": self.image,
            "labels": dict(self.labels),
        }
        text = json.dumps(fields, separators=(",", ":"))
        mine = json.dumps({"id": self.id})[1:-1].replace(": ", ":", 1)
        return _PREFIX + text.replace(mine, mine.ljust(len('"id":""') + ID_ROOM), 1)

    @classmethod
    def parse(cls, text: str) -> Marker | None:
        """Read a command-line word; None when it is no marker of ours."""
        if not text.startswith(_PREFIX):
            return None
        try:
            fields = json.loads(text.removeprefix(_PREFIX))
            return cls(
                id=_text(fields["id"]),
                owner=Owner.parse(_text(fields["owner"])),
                function=_text(fields["function"]),
                image=_text(fields["image"]),
                labels={_text(name): _text(value) for name, value in fields["labels"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def _text(value: object) -> str:
    """Anybody can give a process any name: what stands in it may be of any type."""
    if not isinstance(value, str):
        raise TypeError(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One process that carries a marker."""

    pid: int
    uid: int
    started: float
    """Unix time in seconds."""
    marker: Marker


def this_process() -> Owner:
    """Return the owner that this process is."""
    return _owner(os.getpid())


@lru_cache(maxsize=1)
def _owner(pid: int) -> Owner:
    start = start_time(pid)
    assert start is not None, "this process is not in /proc"
    return Owner(pid=pid, start=start, namespace=_pid_namespace(pid))


@lru_cache(maxsize=1)
def _pid_namespace(pid: int) -> int:
    return (_PROC / str(pid) / "ns/pid").stat().st_ino


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it is no more."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of proc(5)'s ``stat`` from the third on; None when it has ended."""
    try:
        stat = pipes.read_file(f"{_PROC}/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else fields


def marker_of(pid: int) -> Marker | None:
    """Return the marker of one process, None when it has none or is no more."""
    words = _command_line(pid).split(b"\0", _ARGUMENTS_READ)
    for word in words[:_ARGUMENTS_READ]:
        if marker := Marker.parse(word.decode(errors="replace")):
            return marker
    return None


def _command_line(pid: int) -> bytes:
    """Read it again while it is empty: for some microseconds of its execve, any program's is."""
    for _ in range(_EXECVE_PATIENCE):
        try:
            if line := pipes.read_file(f"{_PROC}/{pid}/cmdline"):
                return line
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return b""
        if not _has_program(pid):
            return b""
        os.sched_yield()
    return b""


def _has_program(pid: int) -> bool:
    """Return False for what never has a command line: kernel threads, and what has ended."""
    fields = _stat(pid)
    return fields is not None and not int(fields[6]) & _KERNEL_THREAD


def sightings() -> Iterator[Sighting]:
    """Yield every process of this machine that carries a marker."""
    for entry in os.scandir(_PROC):
        if not entry.name.isdecimal():
            continue
        pid = int(entry.name)
        marker = marker_of(pid)
        if marker is None or not _is_outside_or_init(pid):
            continue
        try:
            found = entry.stat()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield Sighting(pid=pid, uid=found.st_uid, started=_started(pid), marker=marker)


def _is_outside_or_init(pid: int) -> bool:
    """Return False for a program in a sandbox, which may carry the name of another container.

    It has two pids (proc(5), ``NSpid``): one here, and one inside, where 1 is the sandbox's own.
    """
    try:
        status = pipes.read_file(f"{_PROC}/{pid}/status")
    except (FileNotFoundError, ProcessLookupError):
        return False
    pids = status.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()
    return len(pids) < 2 or pids[-1] == b"1"


def _started(pid: int) -> float:
    import time

    ticks = start_time(pid) or 0
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
