"""What is known of a call, asked for or finished, and what may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from wherry.models import new_id

if TYPE_CHECKING:
    from wherry.models import ExitReason
    from wherry.service.call import Trigger

MIB = 1024 * 1024
INLINE = 64 * 1024
"""Bytes of a body or a result that are kept in the database; what is larger is a file."""

State = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
"""``queued`` waits, for its first or its next try. ``done`` succeeded. ``failed`` is a call that
somebody waited for and that did not succeed; ``dead`` one of the queue that did not succeed and
is not tried again unless it is asked for. ``cancelled`` was ended, or never began, on request."""

CallbackState = Literal["pending", "delivered", "failed"]

OPEN: frozenset[State] = frozenset({"queued", "running"})
"""The states of a call that has not ended."""


def _empty() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRequest:
    """A call to be made later: data only."""

    name: str
    """Of the function, without its namespace."""
    namespace: str
    id: str = field(default_factory=new_id)
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=_empty)
    """The environment of this call, besides the function's own."""
    timeout: float | None = None
    """Seconds; can only shorten what the function may take."""
    callback: str | None = None
    """URL that the result is posted to."""
    method: str = "POST"
    path: str = "/"
    """What follows the function's name in the URL; for images that speak HTTP themselves."""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """As they came; for images that speak HTTP themselves."""

    @property
    def qualified(self) -> str:
        """``name.namespace``."""
        return f"{self.name}.{self.namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What became of telling somebody a result."""

    url: str
    state: CallbackState
    attempts: int = 0
    status: int | None = None
    """HTTP status of the last attempt's answer."""
    error: str | None = None
    """Why the last attempt failed."""
    due: float | None = None
    """Unix time of the next attempt, while it is pending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call as it is known now. Times are Unix seconds."""

    number: int
    """Grows from call to call: the place in the list. 0 is a call that is not written yet."""
    id: str
    name: str
    namespace: str
    trigger: Trigger
    state: State
    created: float
    """It was asked for."""
    started: float | None = None
    """The last try got its container."""
    first_byte: float | None = None
    ended: float | None = None
    attempts: int = 0
    """How often it was begun, the present time included."""
    interruptions: int = 0
    """How many of these ended because the server did."""
    due: float | None = None
    """When it is tried next, while it is queued."""
    cancelling: bool = False
    """It was asked to end and still runs."""
    status: int | None = None
    exit_code: int | None = None
    exit_reason: ExitReason | None = None
    error: str | None = None
    """Why there is no exit, or why the call is not tried again."""
    stdin_bytes: int = 0
    stdout_bytes: int = 0
    stderr: bytes = field(default=b"", repr=False)
    """Its last bytes; empty in lists."""
    result_size: int | None = None
    """Bytes of the result that is kept; None when there is none, or not any more."""
    callback: Callback | None = None

    @property
    def qualified(self) -> str:
        """``name.namespace``."""
        return f"{self.name}.{self.namespace}"

    @property
    def duration(self) -> float | None:
        """Seconds from the start of its last try to its end; None when it has not ended."""
        if self.ended is None:
            return None
        return max(0.0, self.ended - (self.started if self.started is not None else self.created))

    @property
    def is_open(self) -> bool:
        """Whether it has still to end."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much is taken in, and how long what came out is kept."""

    max_body: int = 256 * MIB
    """Bytes of one request's body; a function may allow less."""
    max_result: int = 256 * MIB
    """Bytes of one result; a call that writes more is ended."""
    max_depth: int = 1_000_000
    """Calls that wait."""
    max_bytes: int = 16 * 1024 * MIB
    """Bytes of all bodies that wait."""
    keep_results: float = 24 * 3600.0
    """Seconds after its end that a call's result is kept."""
    keep_result_bytes: int = 4 * 1024 * MIB
    """Bytes of all results; the oldest go first."""
    keep_records: float = 7 * 24 * 3600.0
    """Seconds that the record of an ended call is kept."""
    keep_dead: float = 30 * 24 * 3600.0
    """Seconds that a dead or cancelled call of the queue can be asked for again."""
    max_records: int = 200_000
    """Records of ended calls; the oldest go first."""
    callback_hosts: tuple[str, ...] = ()
    """Patterns such as ``*.example.org`` of hosts that may be called back; none: all may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The queue in numbers."""

    queued: int
    running: int
    """Of the queue; calls that somebody waits for are not counted."""
    dead: int
    callbacks: int
    """Results that are still to be told."""
    oldest: float | None
    """Seconds that the oldest call that could run now has waited; None when none waits."""
    dropped: int = 0
    """Records of calls that were lost since the start because they came faster than the disk."""
