"""What happened to a call, and when: its stages, and how long each took."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.calls.model import CallRecord

WIDTH = 600.0
_NARROWEST = 3.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened."""

    name: str
    at: float
    """Unix time."""
    after: float
    """Seconds since the call was asked for."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The time between two moments, as a bar of the picture."""

    name: str
    kind: str
    """What it is to the style sheet."""
    seconds: float
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it."""

    moments: tuple[Moment, ...]
    stages: tuple[Stage, ...]
    seconds: float | None
    """From its first moment to its end; None while it goes on."""


def timeline(record: CallRecord) -> Timeline:
    """Return what is known of a call; of one that was tried again, its last try."""
    ending = {"done": "done", "cancelled": "cancelled"}.get(record.state, "failed")
    known = [
        ("asked for" if record.trigger != "async" else "queued", record.created),
        ("container ready", record.started),
        ("first byte", record.first_byte),
        (ending, record.ended),
    ]
    there = [(name, at) for name, at in known if at is not None]
    moments = tuple(Moment(name, at, max(0.0, at - record.created)) for name, at in there)
    return Timeline(
        moments,
        _stages(record),
        None if record.ended is None else max(0.0, record.ended - record.created),
    )


def _stages(record: CallRecord) -> tuple[Stage, ...]:
    points = (
        ("waiting", "waiting", record.created),
        ("starting" if record.first_byte else "running", "working", record.started),
        ("writing", "writing", record.first_byte),
        ("", "", record.ended),
    )
    there = [(name, kind, at) for name, kind, at in points if at is not None]
    spans = [(name, kind, max(0.0, end - at)) for (name, kind, at), (_, _, end) in pairwise(there)]
    total = sum(seconds for _, _, seconds in spans)
    if not total:
        return ()
    # Every stage can be seen, however short it was; the others give way.
    room = WIDTH - _NARROWEST * len(spans)
    stages, x = [], 0.0
    for name, kind, seconds in spans:
        width = _NARROWEST + room * seconds / total
        stages.append(Stage(name, kind, seconds, round(x, 1), round(width, 1)))
        x += width
    return tuple(stages)
