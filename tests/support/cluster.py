"""Parts of a cluster with behaviour: a shared place in memory, and clocks that are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wherry.errors import EngineUnavailable
from wherry.remote.cluster.members import Members, Membership
from wherry.remote.cluster.origins import Origins
from wherry.remote.cluster.seal import Seal
from wherry.remote.cluster.shared import Entry, Snapshot

OWN = "http://10.0.0.1:1717"
NOON = 1_000_000.0


@dataclass
class Clock:
    """One clock for everything, which moves when it is told to."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return NOON + self.now


@dataclass
class MemoryPlace:
    """A shared place in memory; it can be broken, and it can hang."""

    clock: Clock
    files: dict[str, Entry] = field(default_factory=dict)
    where: str = "the place in memory"
    broken: bool = False
    hanging: asyncio.Event | None = None
    reads: int = 0

    async def write(self, name: str, data: bytes) -> None:
        await self._use()
        self.put(name, data)

    async def read(self, *, within: float) -> Snapshot:
        self.reads += 1
        await self._use()
        return Snapshot(now=self.clock.wall(), entries=list(self.files.values()))

    async def remove(self, name: str) -> None:
        await self._use()
        self.files.pop(name, None)

    async def aclose(self) -> None:
        pass

    def put(self, name: str, data: bytes) -> None:
        self.files[name] = Entry(name=name, data=data, modified=self.clock.wall())

    def node(self, host: str, load: float) -> None:
        """Write what the node at a host would write now."""
        fields = {"host": host, "load": load, "time": self.clock.wall()}
        self.put(host.rpartition("/")[2], json.dumps(fields).encode())

    async def _use(self) -> None:
        if self.hanging is not None:
            await self.hanging.wait()
        if self.broken:
            raise EngineUnavailable(f"{self.where} cannot be used: it is broken")


async def idle() -> float:
    return 0.0


def members(
    place: MemoryPlace,
    *,
    own: str = OWN,
    measure: Callable[[], Awaitable[float]] = idle,
    sealed_only: bool = False,
    seal: Seal | None = None,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Members:
    """Return the members as one node sees them, by the place's clock."""
    how = Membership(
        own=own,
        seal=seal or Seal("secret"),
        origins=Origins(own),
        refresh=30.0,
        cache=3.0,
        measure=measure,
        sealed_only=sealed_only,
        clock=place.clock.monotonic,
        wall=place.clock.wall,
        pause=pause,
    )
    return Members(place, how)
