"""Groups on cgroup v1, as on hybrid hosts: one directory in each controller's own hierarchy."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from wherry.engines.local.cgroup_group import (
    PREFIX,
    Group,
    Usage,
    kill_members,
    wait_members,
    without_caches,
)
from wherry.engines.local.cgroup_tree import CONTROLLERS, Hierarchy, Tree

_PERIOD = 100_000
"""Microseconds in which a share of CPU time is given."""
_SMALLEST_QUOTA = 1_000


def usable_v1(found: Sequence[Hierarchy], tree: Tree) -> tuple[dict[str, Hierarchy], str]:
    """Return the hierarchies in which a group could really be made, and why not the others.

    Groups go below the one this process is in, so that no limit of ours is escaped.
    """
    usable: dict[str, Hierarchy] = {}
    failures: dict[str, list[str]] = {}
    for controller in CONTROLLERS:
        place = next((h for h in found if h.version == 1 and controller in h.controllers), None)
        if place is None:
            continue
        probe = place.own / f"{PREFIX}probe-{os.getpid()}"
        try:
            tree.make(probe)
            tree.remove(probe)
        except OSError as error:
            failures.setdefault(str(error.strerror), []).append(controller)
        else:
            usable[controller] = place
    refused = [f"{why} for {', '.join(names)} of v1" for why, names in failures.items()]
    return usable, "; ".join(refused)


class GroupV1(Group):
    """One container's group in each of some v1 hierarchies."""

    def __init__(self, name: str, directories: Mapping[str, Path], tree: Tree) -> None:
        super().__init__(name, tuple(dict.fromkeys(directories.values())), tree)
        self._by_controller = directories

    @property
    def joining(self) -> tuple[Path, ...]:
        """See :class:`Group`.

        ``tasks`` and not ``cgroup.procs``: for the writer's own single thread the kernel need
        not stop all others from forking, which takes it a grace period (5 ms against 0.1).
        """
        return tuple(directory / "tasks" for directory in self.directories)

    def limit(self, *, memory: int | None, cpus: float | None, pids: int | None) -> None:
        """Set the limits; raises OSError as the kernel does."""
        if memory is not None:
            self._limit_memory(self._by_controller["memory"], memory)
        if pids is not None:
            self._tree.write(self._by_controller["pids"] / "pids.max", str(pids))
        if cpus is not None:
            directory = self._by_controller["cpu"]
            quota = max(_SMALLEST_QUOTA, round(cpus * _PERIOD))
            self._tree.write(directory / "cpu.cfs_period_us", str(_PERIOD))
            self._tree.write(directory / "cpu.cfs_quota_us", str(quota))

    def _limit_memory(self, directory: Path, memory: int) -> None:
        self._tree.write(directory / "memory.limit_in_bytes", str(memory))
        try:
            # The limit of memory and swap together.
            self._tree.write(directory / "memory.memsw.limit_in_bytes", str(memory))
        except FileNotFoundError:
            # A kernel that does not account swap (swapaccount=0) can still be asked not to.
            self._tree.write(directory / "memory.swappiness", "0")

    def kill(self) -> None:
        """See :class:`Group`."""
        if "pids" in self._by_controller:
            with suppress(FileNotFoundError):
                self._tree.write(self._by_controller["pids"] / "pids.max", "0")
        kill_members(self)

    def oom_killed(self) -> bool:
        """See :class:`Group`."""
        directory = self._by_controller.get("memory")
        if directory is None:
            return False
        return self._tree.read_fields(directory / "memory.oom_control").get("oom_kill", 0) > 0

    def usage(self) -> Usage:
        """See :class:`Group`. CPU seconds only where cpu and cpuacct are mounted together."""
        nanoseconds = self._number("cpu", "cpuacct.usage")
        return Usage(
            memory_peak=self._number("memory", "memory.max_usage_in_bytes"),
            cpu_seconds=None if nanoseconds is None else nanoseconds / 1e9,
            pids_peak=self._number("pids", "pids.peak"),
        )

    def memory(self) -> int | None:
        """See :class:`Group`."""
        directory = self._by_controller.get("memory")
        if directory is None:
            return None
        cached = self._tree.read_fields(directory / "memory.stat").get("total_inactive_file", 0)
        return without_caches(self._number("memory", "memory.usage_in_bytes"), cached)

    def wait_empty(self, *, timeout: float) -> None:
        """See :class:`Group`."""
        if self.members():
            wait_members(self, timeout=timeout)
        else:
            # The last process is past its end but not yet out of the kernel's list, which takes
            # it microseconds and of which v1 gives no event.
            time.sleep(0.001)

    def _number(self, controller: str, file: str) -> int | None:
        directory = self._by_controller.get(controller)
        return None if directory is None else self._tree.read_number(directory / file)
