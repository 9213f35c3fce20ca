"""Finding what runs, and ending what nobody owns any more.

A caller that is killed with -9 takes its sandboxes with it, but for those that it had just
started: bubblewrap's death signal is not set yet in their first milliseconds. They are found by
their marker and ended here, at the start of every next engine.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local import marker
from wherry.engines.local.marker import Marker, Owner

if TYPE_CHECKING:
    from wherry.engines.local.cgroup import Cgroups

_ENDING = 5.0
"""Seconds the kernel gets to end what was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container that runs on this machine now."""

    marker: Marker
    pids: tuple[int, ...]
    """Its own processes on the host, outermost first."""
    uid: int
    started: float
    """Unix time in seconds."""

    @property
    def is_orphan(self) -> bool:
        """Whether the process that called it is gone."""
        return self.marker.owner.is_gone()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What a reaper ended and removed."""

    containers: tuple[str, ...]
    """Invocation ids."""
    cgroups: int


def running(*, uids: Iterable[int] | None = None) -> list[Running]:
    """Return the containers of these host users (None: of all), oldest first."""
    wanted = None if uids is None else set(uids)
    found: dict[str, list[marker.Sighting]] = {}
    for sighting in marker.sightings():
        if wanted is None or sighting.uid in wanted:
            found.setdefault(sighting.marker.id, []).append(sighting)
    containers = [
        Running(
            marker=seen[0].marker,
            pids=tuple(sorted(sighting.pid for sighting in seen)),
            uid=seen[0].uid,
            started=min(sighting.started for sighting in seen),
        )
        for seen in found.values()
    ]
    return sorted(containers, key=lambda container: container.started)


def end(container: Running) -> bool:
    """Kill a container's processes and wait for their end; False when one would not end.

    Its init is among them, and the kernel ends all else in the sandbox with it.
    """
    ended = [_end_process(pid, container.marker.id) for pid in container.pids]
    return all(ended)


def reap(uids: Iterable[int], cgroups: Cgroups | None) -> Reaped:
    """End every container of these host users whose owner is gone, and remove its cgroup."""
    orphans = [container for container in running(uids=uids) if container.is_orphan]
    ended = [container.marker.id for container in orphans if end(container)]
    stale = [group for group in cgroups.find() if _is_orphaned(group.name)] if cgroups else []
    for group in stale:
        group.end()
    return Reaped(containers=tuple(ended), cgroups=len(stale))


def group_name(owner: Owner, id: str) -> str:  # noqa: A002
    """Name a container's cgroup so that its owner can be read from it."""
    return f"{owner}.{id}"


def _is_orphaned(name: str) -> bool:
    try:
        return Owner.parse(name.split(".")[0]).is_gone()
    except ValueError:
        return False


def _end_process(pid: int, id: str) -> bool:  # noqa: A002
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # Only now that the descriptor holds the process is it certain whose it is.
        found = marker.marker_of(pid)
        if found is None or found.id != id:
            return True
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return bool(select.select([fd], [], [], _ENDING)[0])
    except (ProcessLookupError, PermissionError):
        return not Path(f"/proc/{pid}").exists()
    finally:
        os.close(fd)


def age(container: Running) -> float:
    """Seconds since a container was started."""
    return max(0.0, time.time() - container.started)
