"""One container's group: what it holds, what it used, and its end."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import EngineError

if TYPE_CHECKING:
    from wherry.engines.local.cgroup_tree import Tree

PREFIX = "wherry-container-"
"""What the names of our groups begin with; nothing else is ever touched."""

_LETTING_GO = (0.0002, 0.0005, 0.001)
"""Seconds: a process that has ended is its group's until the scheduler has switched it out, a
moment after its parent can have noticed. Of this moment no kernel tells."""

_PASSES = 64
"""Rounds of signals before we say that a group fills faster than it can be killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container used in all. None where this kernel does not count it."""

    memory_peak: int | None
    """Bytes, caches included."""
    cpu_seconds: float | None
    pids_peak: int | None


class Group(ABC):
    """The control group of one container, in one directory per hierarchy."""

    def __init__(self, name: str, directories: tuple[Path, ...], tree: Tree) -> None:
        self.name = name
        self.directories = directories
        self._tree = tree

    @property
    @abstractmethod
    def joining(self) -> tuple[Path, ...]:
        """The files into which a process with one thread writes ``0`` to join by itself."""

    @abstractmethod
    def kill(self) -> None:
        """Kill every process in the group. Harmless when there is none, or no group any more.

        Does not wait for their end. Raises :class:`EngineError` when more keep coming.
        """

    @abstractmethod
    def oom_killed(self) -> bool:
        """Return whether the kernel killed a process for the group's memory limit."""

    @abstractmethod
    def usage(self) -> Usage:
        """Return what the group used until now. Ask before it is removed."""

    @abstractmethod
    def memory(self) -> int | None:
        """Return the bytes in use now, without files that are only cached; None if not counted."""

    @abstractmethod
    def wait_empty(self, *, timeout: float) -> None:
        """Block until the group has no process, or `timeout` seconds have passed."""

    def add(self, pid: int) -> None:
        """Move a process here, which takes the kernel some milliseconds (see `joining`)."""
        for directory in self.directories:
            try:
                self._tree.write(directory / "cgroup.procs", str(pid))
            except OSError as error:
                raise EngineError(f"cannot move {pid} into {directory}: {error}") from error

    def members(self) -> set[int]:
        """Return the pids in the group, those that this pid namespace can see."""
        pids = (self._tree.members(directory) for directory in self.directories)
        return set().union(*pids) - {0}

    def remove_now(self) -> bool:
        """Remove the group; False when it still has processes. True also if it is gone."""
        for directory in reversed(self.directories):
            try:
                self._tree.remove(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno == errno.EBUSY:
                    return False
                raise EngineError(f"cannot remove {directory}: {error}") from error
        return True

    async def remove(self, *, timeout: float = 5.0) -> None:
        """Kill what is left in the group, wait for its end, remove it. Idempotent.

        Raises :class:`EngineError` when it is still there after `timeout` seconds.
        """
        for pause in _LETTING_GO:
            if self.remove_now():
                return
            await asyncio.sleep(pause)
        await asyncio.to_thread(self.end, timeout=timeout)

    def end(self, *, timeout: float = 5.0) -> None:
        """Do what :meth:`remove` does, blocking."""
        deadline = time.monotonic() + timeout
        while not self.remove_now():
            left = deadline - time.monotonic()
            if left <= 0:
                held = sorted(self.members())
                raise EngineError(f"group {self.name} still has processes {held} after {timeout} s")
            self.kill()
            self.wait_empty(timeout=left)


def without_caches(total: int | None, cached: int) -> int | None:
    """Return the memory that is really used, as tools that show usage count it."""
    return None if total is None else max(0, total - cached)


def kill_members(group: Group) -> None:
    """Signal the processes of a group until no new one shows up.

    A pid is only signalled through a descriptor that was taken while the group listed it and
    checked against the list again, so that a pid used anew is never hit.
    """
    held: dict[int, int] = {}
    try:
        for _ in range(_PASSES):
            new = {pid: fd for pid in group.members() - held.keys() if (fd := _pidfd(pid)) >= 0}
            if not new:
                return
            held |= new
            for pid in group.members() & new.keys():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(new[pid], signal.SIGKILL)
    finally:
        for fd in held.values():
            os.close(fd)
    raise EngineError(f"group {group.name} makes processes faster than they can be killed")


def wait_members(group: Group, *, timeout: float) -> None:
    """Wait until the processes that are in a group now have ended."""
    deadline = time.monotonic() + timeout
    for pid in group.members():
        fd = _pidfd(pid)
        if fd < 0:
            continue
        try:
            ready = select.poll()
            ready.register(fd, select.POLLIN)
            ready.poll(max(0.0, deadline - time.monotonic()) * 1000)
        finally:
            os.close(fd)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
