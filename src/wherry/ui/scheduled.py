"""What the dashboard asks of the schedules of a server, in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Mark = Literal["succeeded", "failed", "skipped", "missed", "running"]
"""What a run is shown as: one that was timed out has failed, one that waits goes on."""

MARKS: tuple[Mark, ...] = ("succeeded", "failed", "skipped", "missed", "running")
_OTHERS: dict[str, Mark] = {"timed out": "failed", "waiting": "running"}


def mark_of(status: str) -> Mark:
    """Return what a status is shown as."""
    found = _OTHERS.get(status, status)
    return next((mark for mark in MARKS if mark == found), "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A schedule as it stands. Times are Unix seconds."""

    name: str
    when: str
    zone: str
    what: str
    """What it runs, in a few words."""
    source: str | None
    """What declares it; None: it was given to the gateway."""
    paused: bool
    running: int
    next: float | None
    settings: tuple[tuple[str, str], ...] = ()
    """What else it was defined with, without its secrets."""


class Ran(Protocol):
    """One run of a schedule. Times are Unix seconds."""

    @property
    def number(self) -> int:
        """Grows with each run of any schedule."""
        ...

    @property
    def id(self) -> str:
        """Its own."""
        ...

    @property
    def name(self) -> str:
        """The schedule's."""
        ...

    @property
    def cause(self) -> str:
        """``time``, ``catch-up``, ``asked`` or ``start``."""
        ...

    @property
    def status(self) -> str:
        """How it stands, or ended."""
        ...

    @property
    def scheduled(self) -> float:
        """When it was due."""
        ...

    @property
    def started(self) -> float | None:
        """When its first try began."""
        ...

    @property
    def ended(self) -> float | None:
        """When its last try ended."""
        ...

    @property
    def duration(self) -> float | None:
        """Seconds between both."""
        ...

    @property
    def exit_code(self) -> int | None:
        """Of its last try."""
        ...

    @property
    def error(self) -> str | None:
        """Why it did not succeed."""
        ...

    @property
    def attempts(self) -> int:
        """Tries so far."""
        ...

    @property
    def count(self) -> int:
        """How many missed ticks it stands for."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether it wrote more than is kept."""
        ...

    @property
    def stdout(self) -> bytes:
        """The end of what it wrote, where it was asked for."""
        ...

    @property
    def stderr(self) -> bytes:
        """The end of what it wrote, where it was asked for."""
        ...


class Counted(Protocol):
    """How many runs of a schedule came to the same in one step of time."""

    @property
    def name(self) -> str:
        """The schedule's."""
        ...

    @property
    def status(self) -> str:
        """What they came to."""
        ...

    @property
    def slot(self) -> int:
        """Steps since the first."""
        ...

    @property
    def count(self) -> int:
        """How many."""
        ...


class Scheduled(Protocol):
    """The schedules of a server. What there is none of raises :class:`wherry.errors.NotFound`."""

    @property
    def problems(self) -> Mapping[str, str]:
        """Source to what is wrong with it now."""
        ...

    def names(self) -> Sequence[str]:
        """Return all names in their order."""
        ...

    def get(self, name: str) -> Planned:
        """Return a schedule."""
        ...

    def next(self, count: int) -> Sequence[tuple[float, str]]:
        """Return the schedules that time will run next: when, and which."""
        ...

    def coming(self, name: str, *, count: int) -> Sequence[float]:
        """Return the next ticks of a schedule; none while it is paused."""
        ...

    async def tallies(
        self, names: Sequence[str], *, since: float, step: float
    ) -> Sequence[Counted]:
        """Count the runs of some schedules, by steps of seconds since a moment."""
        ...

    async def runs(self, name: str, *, before: int | None, limit: int) -> Sequence[Ran]:
        """Return runs without their output, the latest first, before the run of a number."""
        ...

    async def run(self, name: str, id: str) -> Ran:  # noqa: A002 - as in Ran
        """Return a run with its output: of one that goes on, what it has written by now."""
        ...

    async def start(self, name: str) -> Ran:
        """Run a schedule now."""
        ...

    async def pause(self, name: str, *, paused: bool) -> None:
        """Let no ticks count, or let them count again."""
        ...
