"""The documents of ``/system/calls``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

if TYPE_CHECKING:
    from wherry.calls.model import Callback, CallRecord

State = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
Trigger = Literal["http", "cgi", "async", "pipe", "message", "schedule", "funker", "dashboard"]
MOST = 1000
"""Calls of one page."""


class CallbackDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of telling somebody the result of a call."""

    url: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    status: int | UnsetType = UNSET
    """HTTP status of the last attempt's answer."""
    error: str | UnsetType = UNSET
    next_attempt_at: datetime | UnsetType = UNSET


class CallDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One call, as it is known now. What is not known is absent."""

    id: str
    name: str
    namespace: str
    trigger: Trigger
    state: State
    """Queued calls that did not succeed and are not tried again are dead."""
    created_at: datetime
    attempts: int
    stdin_bytes: int
    stdout_bytes: int
    number: int
    """Its place in the list; 0 for a call that somebody waits for now."""
    interruptions: int | UnsetType = UNSET
    """How often the server ended while it ran."""
    cancelling: bool | UnsetType = UNSET
    """It was asked to end and still runs."""
    started_at: datetime | UnsetType = UNSET
    first_byte_at: datetime | UnsetType = UNSET
    ended_at: datetime | UnsetType = UNSET
    duration_seconds: float | UnsetType = UNSET
    next_attempt_at: datetime | UnsetType = UNSET
    status: int | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    exit_reason: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET
    """Its last part; absent in lists."""
    result_bytes: int | UnsetType = UNSET
    """Size of the result that is kept."""
    callback: CallbackDocument | UnsetType = UNSET


class CallsQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which calls to list, the latest first."""

    name: str = ""
    namespace: str = ""
    state: State | None = None
    trigger: Trigger | None = None
    before: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    """The number of the last call of the page before."""
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 100


class WaitQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How long to wait for the end of a call."""

    wait: Annotated[float, Meta(ge=0, le=300)] = 0.0
    """Seconds; the answer comes when the call has ended, and not later than then."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong."""

    error: str


def document_of(record: CallRecord) -> CallDocument:
    """Return a call as it is shown."""
    return CallDocument(
        id=record.id,
        name=record.name,
        namespace=record.namespace,
        trigger=record.trigger,
        state=record.state,
        created_at=_when(record.created),
        attempts=record.attempts,
        stdin_bytes=record.stdin_bytes,
        stdout_bytes=record.stdout_bytes,
        number=record.number,
        interruptions=record.interruptions or UNSET,
        cancelling=record.cancelling or UNSET,
        started_at=_known_when(record.started),
        first_byte_at=_known_when(record.first_byte),
        ended_at=_known_when(record.ended),
        duration_seconds=UNSET if record.duration is None else record.duration,
        next_attempt_at=_known_when(record.due),
        status=UNSET if record.status is None else record.status,
        exit_code=UNSET if record.exit_code is None else record.exit_code,
        exit_reason=record.exit_reason or UNSET,
        error=record.error or UNSET,
        stderr=record.stderr.decode(errors="replace") if record.stderr else UNSET,
        result_bytes=UNSET if record.result_size is None else record.result_size,
        callback=_callback(record.callback) if record.callback else UNSET,
    )


def _callback(callback: Callback) -> CallbackDocument:
    return CallbackDocument(
        url=callback.url,
        state=callback.state,
        attempts=callback.attempts,
        status=UNSET if callback.status is None else callback.status,
        error=callback.error or UNSET,
        next_attempt_at=_known_when(callback.due),
    )


def _known_when(time: float | None) -> datetime | UnsetType:
    return UNSET if time is None else _when(time)


def _when(time: float) -> datetime:
    return datetime.fromtimestamp(time, tz=UTC)
