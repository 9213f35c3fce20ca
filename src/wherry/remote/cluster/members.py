"""Who is in the cluster: our own state is written, the others' are read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import EngineError, UsageError
from wherry.remote.cluster.absences import Absences
from wherry.remote.cluster.directory import Directory, Node
from wherry.remote.cluster.seal import Seal, new_key
from wherry.remote.cluster.state import BadState, NodeState, name_of, read, written
from wherry.remote.cluster.told import Told

if TYPE_CHECKING:
    from wherry.remote.cluster.origins import Origins
    from wherry.remote.cluster.shared import Shared, Snapshot

_log = logging.getLogger(__name__)
UNFIT = 1000.0
"""The load of a node whose engine is away: more than that of any other."""
_PATIENCE = 2.0
"""Seconds that a request waits for the shared place before it uses what was read last."""
_ENGINE = 5.0
"""Seconds that our engine has to answer in when our load is measured."""
_HANGING = 30.0
"""Seconds after which a use of the shared place is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """How a node takes part; see :class:`Members`."""

    own: str
    """Where the others reach us."""
    seal: Seal
    origins: Origins
    refresh: float
    """Seconds between two writes of our state."""
    cache: float
    """Seconds for which what was read is used."""
    measure: Callable[[], Awaitable[float]]
    """Returns our load; raises :class:`wherry.errors.EngineError` when the engine is away."""
    sealed_only: bool = False
    """Whether a state must be sealed with our secret."""
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Members:
    """The nodes that live, by what they wrote into a shared place.

    What is wrong with the place is logged once, until it is well again. While it cannot be read,
    the nodes that were read last are used until they would be stale.
    """

    def __init__(self, shared: Shared, how: Membership) -> None:
        self._shared = shared
        self._how = how
        self._name = name_of(how.own)
        self._directory = Directory(
            origins=how.origins, refresh=how.refresh, seal=how.seal, sealed_only=how.sealed_only
        )
        self._absences = Absences()
        self._told = Told(_log)
        self._has_written = False
        self._asked_at = float("-inf")
        self._writing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.own = how.own
        self.key = new_key()
        """What requests to us are sealed with, in this run."""
        self.load = 0.0
        """Ours, as it was measured last."""

    # ---- our own state ---------------------------------------------------------------------

    async def join(self) -> None:
        """Write our state, and go on with that until :meth:`leave`."""
        await self.write()
        self._writing = asyncio.create_task(self.run())
        self._writing.add_done_callback(_look_at)

    async def run(self) -> None:
        """Write our state again at every refresh, until cancelled."""
        while True:
            await self._how.pause(self._how.refresh)
            await self.write()

    async def write(self) -> None:
        """Measure our load and write it down; what goes wrong is logged."""
        try:
            async with asyncio.timeout(_ENGINE):
                self.load = await self._how.measure()
        except (EngineError, TimeoutError) as error:
            # Idle because it cannot work: without this it would be sent every container.
            self.load = UNFIT
            reason = str(error) or "the engine does not answer"
            self._told.warn("load", "this node is fit for no container", reason=reason)
        else:
            self._told.well("load", "this node is fit for containers again")
        state = NodeState(host=self.own, load=self.load, time=self._how.wall(), key=self.key)
        data = written(state, self._how.seal if self._how.sealed_only else None)
        if await self._use("written", self._shared.write(self._name, data), within=_HANGING):
            self._has_written = True

    async def leave(self) -> None:
        """Remove our state, so that nobody sends us anything more. Idempotent."""
        for task in (self._writing, self._reading):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task})
        await self._use("left", self._shared.remove(self._name), within=_PATIENCE)

    # ---- the others ------------------------------------------------------------------------

    async def nodes(self) -> Sequence[Node]:
        """Return the other nodes that live, but for those that are left alone."""
        await self._renew()
        return [node for node in self.living() if self._reason(node) is None]

    def dropped(self) -> dict[str, str]:
        """Return the nodes that are left alone though their state is fresh, and why."""
        return {node.host: reason for node in self.living() if (reason := self._reason(node))}

    def drop(self, node: Node, *, reason: str) -> None:
        """Leave a node alone that did not answer: for a while, and until it writes again."""
        self._absences.drop(node, reason=reason, now=self._how.clock())
        self._told.warn(node.host, "a node does not answer", reason=reason)

    def answered(self, node: Node) -> None:
        """Note that a node answers."""
        self._absences.answered(node.host)
        self._told.well(node.host, "a node answers again")

    def _reason(self, node: Node) -> str | None:
        return self._absences.reason(node, now=self._how.clock())

    def living(self) -> list[Node]:
        """Return the other nodes that live, by what was read last."""
        found = self._directory.living(now=self._how.clock(), wall=self._how.wall())
        return [node for node in found if node.host != self.own]

    # ---- the place -------------------------------------------------------------------------

    async def _renew(self) -> None:
        """Read the place again if it is time to; wait for that for a moment only."""
        if self._how.clock() - self._asked_at < self._how.cache:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.wait({self._reading}, timeout=_PATIENCE)

    async def _read(self) -> None:
        async def renew() -> None:
            snapshot = await self._shared.read(within=self._directory.limit)
            self._directory.update(snapshot, now=self._how.clock())
            self._look_for_a_double(snapshot)
            self._absences.forget_others({node.host for node in self.living()})

        await self._use("read", renew(), within=_HANGING)
        self._asked_at = self._how.clock()

    def _look_for_a_double(self, snapshot: Snapshot) -> None:
        """Tell of another server that says it is where we are: one of the two gets nothing."""
        for entry in snapshot.entries:
            if self._has_written and entry.name == self._name and not self._is_ours(entry.data):
                reason = f"two servers say that they are {self.own}; give them --advertise"
                self._told.warn("double", "another server has our address", reason=reason)

    def _is_ours(self, data: bytes) -> bool:
        try:
            return read(data).key == self.key
        except BadState:
            return True  # it is broken, and told of as that

    async def _use(self, what: str, doing: Awaitable[None], *, within: float) -> bool:
        """Use the shared place; what goes wrong is logged once. True when it went well."""
        try:
            async with asyncio.timeout(within):
                await doing
        except (EngineError, UsageError, TimeoutError) as error:
            reason = str(error) or f"{self._shared.where} does not answer"
            self._told.warn(what, f"the shared place cannot be {what}", reason=reason)
            return False
        self._told.well(what, f"the shared place can be {what} again")
        return True


def _look_at(task: asyncio.Task[None]) -> None:
    """Log a mistake of ours that ends the writing: the node goes on alone."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("this node's state is not written any more", exc_info=error)
