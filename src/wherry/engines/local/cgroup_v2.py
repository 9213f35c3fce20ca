"""Groups on cgroup v2: one directory each, in a subtree of our own."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wherry.engines.local.cgroup_group import PREFIX, Group, Usage, kill_members, without_caches
from wherry.engines.local.cgroup_tree import CONTROLLERS, Hierarchy, Tree

PARENT = "wherry-containers"
"""Holds the containers' groups and no process: only such a group can hand controllers on."""
_CALLER = "wherry-caller"
"""Where we move ourselves when our own group is the one to hand controllers on."""
_PERIOD = 100_000
_SMALLEST_QUOTA = 1_000
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceV2:
    """A subtree that is ours to use, and the controllers that work in it."""

    parent: Path
    top: Path
    controllers: frozenset[str]


def usable_v2(hierarchy: Hierarchy, tree: Tree) -> tuple[PlaceV2 | None, str]:
    """Find a place where groups with limits can really be made; or say why there is none."""
    failures: dict[str, None] = {}
    for place in _candidates(hierarchy, tree):
        try:
            controllers = _try(place, hierarchy, tree)
        except OSError as error:
            failures[f"{place}: {error.strerror}"] = None
            continue
        if controllers:
            parent = place / PARENT
            return PlaceV2(parent=parent, top=hierarchy.top, controllers=controllers), ""
        failures["no memory, pids or cpu controller in v2"] = None
    return None, "; ".join(failures)


def _candidates(hierarchy: Hierarchy, tree: Tree) -> Iterator[Path]:
    """Yield where to try, the places that are ours by right first, each once."""
    own, top = hierarchy.own, hierarchy.top
    above = [] if own == top else [own.parent]
    wanted = [place for place in (own, *above) if tree.is_delegated(place)]
    wanted += [top] if os.geteuid() == 0 else []
    yield from dict.fromkeys([*wanted, *above, own])


def _try(place: Path, hierarchy: Hierarchy, tree: Tree) -> frozenset[str]:
    """Make the subtree with a group in it, and return what can be limited there."""
    if not _controllers(place, tree):
        return frozenset()
    if place == hierarchy.own != hierarchy.top:
        _vacate(place, tree)
    _hand_on(place, tree)
    parent = place / PARENT
    probe = parent / f"{PREFIX}probe-{os.getpid()}"
    make_below_parent(probe, tree, controllers=CONTROLLERS)
    try:
        _check_moving(hierarchy.own, probe)
        return _controllers(probe, tree)
    finally:
        tree.remove(probe)
        with suppress(OSError):  # in use by another process
            tree.remove(parent)


def _controllers(group: Path, tree: Tree) -> frozenset[str]:
    return frozenset(tree.read(group / "cgroup.controllers").split()) & frozenset(CONTROLLERS)


def make_below_parent(group: Path, tree: Tree, *, controllers: Iterable[str]) -> None:
    """Make a group, and before it the parent of all groups if that is not there.

    Whoever ends as the last one removes the parent, so it may go at any moment.
    """
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):
            return tree.make(group)
        with suppress(FileExistsError):
            tree.make(group.parent)
        _hand_on(group.parent, tree, controllers)
    return tree.make(group)


def _vacate(own: Path, tree: Tree) -> None:
    """Move the processes of our own group one down, if that is ours to do.

    A group that hands controllers on may hold no process (cgroup-v2, "No Internal Process
    Constraint"). Ours it is when it was delegated, or when nobody else is in it.
    """
    members = tree.members(own)
    if not members <= {os.getpid()} and not tree.is_delegated(own):
        raise PermissionError(
            errno.EPERM, "other processes are in this group, and it is not delegated"
        )
    caller = own / _CALLER
    with suppress(FileExistsError):
        tree.make(caller)
    for pid in members:
        with suppress(ProcessLookupError):
            tree.write(caller / "cgroup.procs", str(pid))


def _hand_on(group: Path, tree: Tree, controllers: Iterable[str] = CONTROLLERS) -> None:
    """Enable for the groups below what can be enabled; the probe shows what came of it."""
    for controller in controllers:
        with suppress(OSError):
            tree.write(group / "cgroup.subtree_control", f"+{controller}")


def _check_moving(own: Path, to: Path) -> None:
    """Raise unless a process of our group may be moved: the rule of delegation containment."""
    common = Path(os.path.commonpath([own, to]))
    for group in (common, to):
        if not os.access(group / "cgroup.procs", os.W_OK):
            raise PermissionError(errno.EACCES, f"processes may not be moved within {group}")


class GroupV2(Group):
    """One container's group in the unified hierarchy."""

    def __init__(self, name: str, directory: Path, tree: Tree) -> None:
        super().__init__(name, (directory,), tree)
        self._directory = directory

    @property
    def joining(self) -> tuple[Path, ...]:
        """See :class:`Group`."""
        return (self._directory / "cgroup.procs",)

    def limit(self, *, memory: int | None, cpus: float | None, pids: int | None) -> None:
        """Set the limits; raises OSError as the kernel does."""
        write, directory = self._tree.write, self._directory
        if memory is not None:
            write(directory / "memory.max", str(memory))
            with suppress(FileNotFoundError):  # a kernel without swap
                write(directory / "memory.swap.max", "0")
            with suppress(FileNotFoundError):  # before Linux 4.19
                write(directory / "memory.oom.group", "1")
        if pids is not None:
            write(directory / "pids.max", str(pids))
        if cpus is not None:
            quota = max(_SMALLEST_QUOTA, round(cpus * _PERIOD))
            write(directory / "cpu.max", f"{quota} {_PERIOD}")

    def kill(self) -> None:
        """See :class:`Group`."""
        try:
            self._tree.write(self._directory / "cgroup.kill", "1")
        except FileNotFoundError:  # before Linux 5.14, or the group is gone
            kill_members(self)

    def oom_killed(self) -> bool:
        """See :class:`Group`."""
        return self._tree.read_fields(self._directory / "memory.events").get("oom_kill", 0) > 0

    def usage(self) -> Usage:
        """See :class:`Group`."""
        read, directory = self._tree.read_number, self._directory
        spent = self._tree.read_fields(directory / "cpu.stat").get("usage_usec")
        return Usage(
            memory_peak=read(directory / "memory.peak"),
            cpu_seconds=None if spent is None else spent / 1e6,
            pids_peak=read(directory / "pids.peak"),
        )

    def memory(self) -> int | None:
        """See :class:`Group`."""
        cached = self._tree.read_fields(self._directory / "memory.stat").get("inactive_file", 0)
        return without_caches(self._tree.read_number(self._directory / "memory.current"), cached)

    def wait_empty(self, *, timeout: float) -> None:
        """See :class:`Group`. ``cgroup.events`` tells of every change by POLLPRI."""
        deadline = time.monotonic() + timeout
        try:
            events = os.open(self._directory / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            changed = select.poll()
            changed.register(events, select.POLLPRI)
            while b"populated 1" in _now(events):
                left = deadline - time.monotonic()
                if left <= 0 or not changed.poll(left * 1000):
                    return
            # Empty, so what keeps the group is on its way out of the kernel's lists.
            time.sleep(0.001)
        finally:
            os.close(events)


def _now(events: int) -> bytes:
    try:
        return os.pread(events, 4096, 0)
    except OSError as error:
        if error.errno == errno.ENODEV:  # removed since it was opened
            return b""
        raise
