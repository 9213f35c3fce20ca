"""One control group for all containers of a tenant: what no sum of single limits can promise.

It covers what is executed in containers and what a build runs, too. It needs an engine of this
machine that makes control groups itself (``cgroupfs``), and the right to make some; where that is
missing, each container has limits of its own and the ledger adds them up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient

_LOG = logging.getLogger(__name__)
ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000
"""Microseconds over which a share of the processors is measured."""
_FIRST_KINDS = ("memory", "pids", "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What all containers of a tenant may use together."""

    memory: int
    """Bytes."""
    pids: int
    nano_cpus: int
    """Billionths of a core."""


class Cgroups:
    """Control groups below one of ours, in the unified hierarchy or in those of version 1."""

    def __init__(self, base: str, *, root: Path = ROOT) -> None:
        self._base = base.strip("/")
        self._root = root
        self._unified = (root / "cgroup.controllers").exists()

    def make(self, path: str, ceiling: Ceiling) -> str:
        """Make the group of a tenant; returns what a container's ``CgroupParent`` must be.

        ``path`` is the tenant's name after those above it, each in the one before: what one
        below uses counts for all. Raises OSError where it cannot be made.
        """
        if self._unified:
            self._make_unified(path, ceiling)
        else:
            self._make_first(path, ceiling)
        return f"/{self._base}/{path}"

    def remove(self, path: str) -> None:
        """Remove the group of a tenant, when nothing is in it any more. Harmless without one."""
        for place in self._places(f"{self._base}/{path}"):
            for below in sorted(place.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    below.rmdir()
            with contextlib.suppress(OSError):
                place.rmdir()

    def close(self) -> None:
        """Remove what all of them were in, when none is left."""
        parts = self._base.split("/")
        for length in range(len(parts), 0, -1):
            for place in self._places("/".join(parts[:length])):
                with contextlib.suppress(OSError):
                    place.rmdir()

    def _places(self, path: str) -> list[Path]:
        if self._unified:
            return [self._root / path]
        return [self._root / kind / path for kind in self._kinds()]

    def _kinds(self) -> list[str]:
        """Return all hierarchies: a runtime makes a container's group in each of them."""
        return sorted(path.name for path in self._root.iterdir() if path.is_dir())

    def _make_first(self, path: str, ceiling: Ceiling) -> None:
        values = {
            "memory": {"memory.limit_in_bytes": ceiling.memory},
            "pids": {"pids.max": ceiling.pids},
            "cpu": {
                "cpu.cfs_period_us": _PERIOD,
                "cpu.cfs_quota_us": ceiling.nano_cpus * _PERIOD // 10**9,
            },
        }
        for kind in _FIRST_KINDS:
            place = self._root / kind / self._base / path
            self._nest(self._root / kind, f"{self._base}/{path}")
            for name, value in values[kind].items():
                (place / name).write_text(str(value))

    def _nest(self, place: Path, path: str) -> None:
        """Make groups one in the other, which before Linux 5.11 count apart unless told."""
        for part in path.split("/"):
            place /= part
            place.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # it has been said, or cannot be otherwise
                if (told := place / "memory.use_hierarchy").exists():
                    told.write_text("1")

    def _make_unified(self, path: str, ceiling: Ceiling) -> None:
        place = self._root
        for part in (*self._base.split("/"), *path.split("/")):
            (place / "cgroup.subtree_control").write_text("+memory +pids +cpu")
            place /= part
            place.mkdir(exist_ok=True)
        (place / "memory.max").write_text(str(ceiling.memory))
        (place / "pids.max").write_text(str(ceiling.pids))
        quota = ceiling.nano_cpus * _PERIOD // 10**9
        (place / "cpu.max").write_text(f"{quota} {_PERIOD}")


async def usable(
    client: DockerClient, *, base: str, root: Path = ROOT
) -> tuple[Cgroups | None, str]:
    """Return the groups for an engine, or None and why there can be none."""
    if client.address.scheme != "unix":
        return None, "the engine may be on another machine"
    info = await client.call("GET", "/info")
    if info.get("CgroupDriver") != "cgroupfs":
        return None, f"the engine's cgroup driver is {info.get('CgroupDriver')!r}, not 'cgroupfs'"
    if not _same_namespace(client.address.path):
        return None, "the engine sees other control groups than this process"
    groups = Cgroups(base, root=root)
    try:
        groups.make("probe", Ceiling(memory=2**30, pids=100, nano_cpus=10**9))
    except OSError as error:
        return None, f"control groups cannot be made here: {error}"
    groups.remove("probe")
    return groups, ""


def _same_namespace(path: str) -> bool:
    """Whether whoever listens there is in our namespace of control groups."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            told = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
            )
            pid = struct.unpack("3i", told)[0]
            theirs = os.stat(f"/proc/{pid}/ns/cgroup")  # noqa: PTH116
            ours = os.stat("/proc/self/ns/cgroup")  # noqa: PTH116
        except OSError:
            return False
    return theirs.st_ino == ours.st_ino
