"""The states that were read last, and which of them are of nodes that live."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.remote.cluster.freshness import Freshness, Sight
from wherry.remote.cluster.shared import Entry, Snapshot
from wherry.remote.cluster.state import BadState, NodeState, read
from wherry.remote.cluster.told import Told

if TYPE_CHECKING:
    from wherry.remote.cluster.origins import Origins
    from wherry.remote.cluster.seal import Seal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that lives, as far as its state tells."""

    host: str
    load: float
    key: str | None = None
    """What requests to it are sealed with; None for one that cannot check that."""
    content: bytes = b""
    """Its state, as it was written."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    entry: Entry
    state: NodeState
    host: str


class Directory:
    """Reads states, and tells once of each file that is none."""

    def __init__(
        self, *, origins: Origins, refresh: float, seal: Seal, sealed_only: bool = False
    ) -> None:
        self._origins = origins
        self._seal = seal
        self._sealed_only = sealed_only
        self._fresh = Freshness(refresh=refresh)
        self._told = Told(_log)
        self._candidates: list[_Candidate] = []
        self._snapshot = Snapshot(now=0.0, entries=())
        self._at = 0.0

    @property
    def limit(self) -> float:
        """Seconds after which a state is stale."""
        return self._fresh.limit

    def update(self, snapshot: Snapshot, *, now: float) -> None:
        """Take over what was read; ``now`` is our monotonic clock, in seconds."""
        names = {entry.name for entry in snapshot.entries}
        self._told.forget_others(names)
        self._fresh.forget_others(names)
        found = (self._candidate(entry) for entry in snapshot.entries)
        self._candidates = [each for each in found if each is not None]
        self._snapshot, self._at = snapshot, now

    def living(self, *, now: float, wall: float) -> list[Node]:
        """Return the nodes that live by now, sorted by host; ``wall`` is the time of the day."""
        newest: dict[str, tuple[float, NodeState, bytes]] = {}
        for each in self._candidates:
            entry, state = each.entry, each.state
            age = self._snapshot.now - entry.modified + now - self._at
            sight = Sight(content=entry.data, age=age, stamp=state.time, grain=self._snapshot.grain)
            if not self._fresh.is_live(entry.name, sight, now=now, wall=wall):
                continue
            had = newest.get(each.host)
            if had is None or age < had[0]:  # two files of one host: the newer one is true
                newest[each.host] = (age, state, entry.data)
        return [
            Node(host=host, load=state.load, key=state.key, content=content)
            for host, (_, state, content) in sorted(newest.items())
        ]

    def _candidate(self, entry: Entry) -> _Candidate | None:
        try:
            state = read(entry.data)
            host = self._origins.check(state.host)
            if self._sealed_only and not state.is_sealed(self._seal):
                raise BadState("it is not sealed with this cluster's token")
        except (BadState, UsageError) as error:
            message = "a file in the shared place is no state of a node"
            self._told.warn(entry.name, message, reason=str(error))
            return None
        self._told.well(entry.name)
        return _Candidate(entry, state, host)
