"""Memory, processors, processes: filled in where nothing is said, clamped where too much is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.proxy.policy.model import Amounts, Limits

if TYPE_CHECKING:
    from wherry.proxy.policy.fields import Fields

_CPUSET = re.compile(r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*", re.ASCII)
_PERIOD = 100_000
_SHARES = 1024
_NOT_LINUX = "is not used on Linux"
_HOST = "reaches beyond the container into the host; leave it out"
_REMOVED = "was removed from the engine; leave it out"
_MOST = {"nofile": "open_files", "nproc": "pids"}
_ULIMITS = frozenset(
    {"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nofile", "nproc",
     "rss", "sigpending", "stack"}
)  # fmt: skip
_KERNELS = {"msgqueue": 819_200, "sigpending": 65_536}
"""What costs memory of the kernel's, for the user that root of all containers is."""
_MEMLOCK = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A limit of the kernel for one process."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container may use. In an update, 0 and empty leave a value as it is."""

    memory: int = 0
    """Bytes, swap included: a container never gets swap."""
    reservation: int = 0
    nano_cpus: int = 0
    shares: int = 0
    cpuset: str = ""
    pids: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def amounts(self) -> Amounts:
        """What the ledger counts."""
        return Amounts(memory=self.memory, nano_cpus=self.nano_cpus, pids=self.pids)

    def render(self) -> dict[str, object]:
        """Return the fields of a new body; what is 0 or empty is left out."""
        body: dict[str, object] = {
            "Memory": self.memory,
            "MemorySwap": self.memory,
            "MemoryReservation": self.reservation,
            "NanoCpus": self.nano_cpus,
            "CpuShares": self.shares,
            "CpusetCpus": self.cpuset,
            "PidsLimit": self.pids,
            "Ulimits": [
                {"Name": each.name, "Soft": each.soft, "Hard": each.hard} for each in self.ulimits
            ],
        }
        return {key: value for key, value in body.items() if value}


def parse(fields: Fields, limits: Limits, *, update: bool = False) -> Resources:
    """Read the ``Resources`` part of a HostConfig or of an update; raises :class:`Denied`."""
    said: list[str] = []
    _refuse_the_rest(fields)
    memory = _memory(fields, limits, update=update, said=said)
    reservation = fields.integer("MemoryReservation", least=0)
    cpuset = fields.text("CpusetCpus")
    if cpuset and not _CPUSET.fullmatch(cpuset):
        raise fields.denied("CpusetCpus", f"{cpuset!r} must be as in 0-2,4", status=400)
    return Resources(
        memory=memory,
        reservation=min(reservation, memory) if memory else 0,
        nano_cpus=_cpus(fields, limits, update=update, said=said),
        shares=min(fields.integer("CpuShares", least=0), _SHARES),
        cpuset=cpuset,
        pids=_pids(fields, limits, update=update, said=said),
        ulimits=_ulimits(fields, limits, update=update, said=said),
        warnings=tuple(said),
    )


def _refuse_the_rest(fields: Fields) -> None:
    fields.empty("Devices", "DeviceCgroupRules", why="gives a device of the host; leave it out")
    fields.empty(
        "BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "CpuRealtimePeriod", "CpuRealtimeRuntime",
        "CpusetMems", "OomKillDisable", why=_HOST,
    )  # fmt: skip
    fields.empty("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth", why=_NOT_LINUX)
    fields.empty("KernelMemory", "KernelMemoryTCP", "KernelMemoryTcp", why=_REMOVED)
    if fields.raw("MemorySwappiness") not in (None, -1) or fields.raw("MemorySwappiness") is False:
        fields.refuse("MemorySwappiness", _HOST)


def _memory(fields: Fields, limits: Limits, *, update: bool, said: list[str]) -> int:
    fields.integer("MemorySwap", least=-1)  # always what Memory is: no swap
    asked = fields.integer("Memory", least=0)
    if not asked:
        return 0 if update else min(limits.memory_each, limits.memory)
    return _clamp(asked, limits.memory, what="Memory", said=said)


def _cpus(fields: Fields, limits: Limits, *, update: bool, said: list[str]) -> int:
    asked = fields.integer("NanoCpus", least=0)
    quota = fields.integer("CpuQuota", least=-1)
    period = fields.integer("CpuPeriod", least=0, most=1_000_000) or _PERIOD
    if asked and quota > 0:
        raise fields.denied("NanoCpus", "give NanoCpus or CpuQuota, not both", status=400)
    most = int(limits.cpus * 1e9)
    if quota > 0:
        asked = max(quota * 10**9 // period, 1)
    if not asked:
        return 0 if update and quota == 0 else min(int(limits.cpus_each * 1e9), most)
    return _clamp(asked, most, what="NanoCpus", said=said)


def _pids(fields: Fields, limits: Limits, *, update: bool, said: list[str]) -> int:
    given = fields.has("PidsLimit")
    asked = fields.integer("PidsLimit", least=-1)
    if asked <= 0:
        return 0 if update and not given else min(limits.pids_each, limits.pids)
    return _clamp(asked, limits.pids, what="PidsLimit", said=said)


def _ulimits(
    fields: Fields, limits: Limits, *, update: bool, said: list[str]
) -> tuple[Ulimit, ...]:
    found: dict[str, Ulimit] = {}
    for each in fields.children("Ulimits"):
        name = each.text("Name")
        if name not in _ULIMITS:
            each.refuse("Name", f"{name!r} cannot be set; {', '.join(sorted(_ULIMITS))} can")
        if name in found:
            raise each.denied("Name", f"{name!r} is there twice", status=400)
        most = _most(name, limits)
        soft, hard = (_limited(each.integer(key, least=-1), most) for key in ("Soft", "Hard"))
        each.done()
        if most is not None and -1 in (each.integer("Soft"), each.integer("Hard")):
            said.append(f"ulimit {name} was limited to {most}")
        found[name] = Ulimit(name, min(soft, hard) if hard >= 0 else soft, hard)
    if not update:
        found["core"] = Ulimit("core", 0, 0)  # the host's handler of core dumps runs as root
    return tuple(found.values())


def _most(name: str, limits: Limits) -> int | None:
    if name == "core":
        return 0
    if name == "memlock":
        return _MEMLOCK
    if name in _KERNELS:
        return _KERNELS[name]
    return getattr(limits, _MOST[name]) if name in _MOST else None


def _limited(value: int, most: int | None) -> int:
    if most is None:
        return value
    return most if value < 0 else min(value, most)


def _clamp(asked: int, most: int, *, what: str, said: list[str]) -> int:
    if asked > most:
        said.append(f"{what} was limited to {most}, which is the quota")
        return most
    return asked
