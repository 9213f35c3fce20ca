"""One call of a deployed function while it happens, and who watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from wherry.functions.model import Deployed
    from wherry.models import Exit, Output

Trigger = Literal["http", "cgi", "async", "pipe", "message", "schedule", "funker", "dashboard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How long a call may take, and who said so."""

    seconds: float
    by: Literal["the X-Timeout header", "the function's timeout", "the server's maximum"]


@dataclass(slots=True, kw_only=True)
class Call:
    """What is known of a call; filled in as it goes on. Times are Unix seconds."""

    id: str
    deployed: Deployed
    trigger: Trigger
    began: float
    """The trigger asked for it."""
    started: float | None = None
    """It has its container."""
    first_byte: float | None = None
    """The first output came."""
    ended: float | None = None
    exit: Exit | None = None
    """None until it ends, and when the engine failed."""
    error: BaseException | None = None
    """What ended it in place of an exit: the engine's failure, no capacity, a caller who left."""
    status: int | None = None
    """The HTTP status it was answered with, where there was one."""
    stdin_bytes: int = 0
    stdout_bytes: int = 0
    stderr_tail: bytearray = field(default_factory=bytearray)
    """The last :data:`STDERR_TAIL` bytes."""
    allowance: Allowance | None = None


STDERR_TAIL = 16 * 1024
"""Bytes of stderr that a call's record keeps."""


class Observer(Protocol):
    """Hears of every call; must not block and must not raise."""

    def began(self, call: Call) -> None:
        """Say that it was asked for; it may still wait for a place."""
        ...

    def started(self, call: Call) -> None:
        """Say that its container is there."""
        ...

    def wrote(self, call: Call, output: Output) -> None:
        """Say that it wrote something."""
        ...

    def ended(self, call: Call) -> None:
        """Say that it is over; called exactly once for each call that began."""
        ...
