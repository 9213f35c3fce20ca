"""The documents of ``/system/schedules``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wherry.triggers.cron.checking import shown
from wherry.triggers.cron.model import Cause, Definition, Status  # noqa: TC001 - msgspec reads them

if TYPE_CHECKING:
    from wherry.triggers.cron.book import Known
    from wherry.triggers.cron.model import Run

_FARTHEST = 253402300799.0  # the end of the year 9999


class ScheduleDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A schedule as it stands."""

    name: str
    definition: Definition
    """Without its secrets: passwords, values of variables, paths of URLs."""
    source: str
    """`api`, or the file that declares it, or `container labels`."""
    paused: bool
    running: int
    """Runs that go on now."""
    next_at: datetime | UnsetType = UNSET


class ScheduleList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All schedules, and what is wrong with where they are declared."""

    schedules: list[ScheduleDocument]
    problems: dict[str, str]
    """Source to what is wrong; what it declared before goes on."""


class RunDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One run of a schedule, with all its tries. What is not known is absent."""

    number: int
    id: str
    schedule: str
    cause: Cause
    status: Status
    scheduled_at: datetime
    attempts: int
    count: int
    """Of missed runs: how many, up to this one."""
    started_at: datetime | UnsetType = UNSET
    ended_at: datetime | UnsetType = UNSET
    duration_seconds: float | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    """It wrote more than is kept."""


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which runs to list, the latest first."""

    before: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """The number of the last run of the page before."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class NextQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many of the coming runs to show."""

    count: Annotated[int, Meta(ge=1, le=100)] = 5


def schedule_of(known: Known, *, running: int) -> ScheduleDocument:
    """Return a schedule as it is shown."""
    return ScheduleDocument(
        name=known.name,
        definition=shown(known.entry.definition),
        source=known.entry.source,
        paused=known.entry.paused,
        running=running,
        next_at=_when(known.next),
    )


def run_of(run: Run) -> RunDocument:
    """Return a run as it is shown, without its output."""
    return RunDocument(
        number=run.number,
        id=run.id,
        schedule=run.name,
        cause=run.cause,
        status=run.status,
        scheduled_at=moment(run.scheduled),
        attempts=run.attempts,
        count=run.count,
        started_at=_when(run.started),
        ended_at=_when(run.ended),
        duration_seconds=UNSET if run.duration is None else run.duration,
        exit_code=UNSET if run.exit_code is None else run.exit_code,
        error=run.error or UNSET,
        truncated=run.truncated or UNSET,
    )


def moment(time: float) -> datetime:
    """Return Unix seconds as a time of UTC."""
    return datetime.fromtimestamp(min(time, _FARTHEST), tz=UTC)


def _when(time: float | None) -> datetime | UnsetType:
    return UNSET if time is None else moment(time)
