"""The place where nodes write their states, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, whoever wrote it."""

    name: str
    data: bytes
    """The first :data:`wherry.remote.cluster.state.LARGEST` + 1 bytes, at most."""
    modified: float
    """Seconds since the epoch, by the clock of the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All files at one moment."""

    now: float
    """That moment, by the same clock that ``modified`` is told by, as well as can be known."""
    entries: Sequence[Entry]
    grain: float = 0.0
    """Seconds by which times of the place may be rounded."""


class Shared(Protocol):
    """A flat place of small files that several nodes share.

    What nobody can read, such as a file that has just been removed, is left out of a snapshot.
    Every method raises :class:`wherry.errors.EngineUnavailable` when the place cannot be used.
    """

    @property
    def where(self) -> str:
        """What people call it."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole: a reader sees the old one or the new one."""
        ...

    async def read(self, *, within: float) -> Snapshot:
        """Return every file that may be a state, but perhaps none older than ``within`` seconds."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a file; harmless when it is gone."""
        ...

    async def aclose(self) -> None:
        """Give up connections."""
        ...
