"""What came of a call, as an HTTP status: the one table that every trigger reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wherry.errors import (
    AlreadyExists,
    Busy,
    ConcurrencyReached,
    Conflict,
    EngineError,
    ImageError,
    NotFound,
    StartError,
    TooLarge,
    UsageError,
)
from wherry.service.live import CallerLeft

if TYPE_CHECKING:
    from wherry.models import Exit
    from wherry.service.call import Call

LEFT = 499
"""What is noted for a call whose caller left; nobody is answered with it."""

_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (NotFound, 404),
    (AlreadyExists, 409),
    (Conflict, 409),
    (TooLarge, 413),
    (UsageError, 400),
    (ConcurrencyReached, 429),
    (Busy, 503),
    (EngineError, 502),
    (ImageError, 502),
    (StartError, 502),
    (CallerLeft, LEFT),
)
"""The first that fits counts."""

_PATH = re.compile(r"(?<![^\s'\"(=:])/[^\s/'\"]")


def status_of_exit(ended: Exit) -> int:
    """Return the status of a call that ended: 200, 500, or 504 for a timeout."""
    if ended.reason == "timeout":
        return 504
    return 200 if ended.ok else 500


def status_of_error(error: BaseException) -> int:
    """Return the status of a call that came to no end."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def status_of(call: Call) -> int:
    """Return the status of a call that is over."""
    if call.status is not None:
        return call.status
    if call.exit is not None:
        return status_of_exit(call.exit)
    return status_of_error(call.error) if call.error is not None else 500


def unstartable(call: Call, error: UsageError) -> StartError:
    """Return what a caller hears of a deployed function that cannot be run as it is deployed.

    That a secret was removed, or that this machine cannot do what was asked for, is no mistake
    of the caller's (so it is a 502), and where the server keeps its files no business of theirs.
    """
    why = "the server's log says why" if _PATH.search(str(error)) else str(error)
    return StartError(f"function {call.deployed.name!r} cannot run as it is deployed: {why}")


def describe_timeout(call: Call) -> str:
    """Say which deadline ended a call, and who set it."""
    name = call.deployed.name
    if call.allowance is None:
        return f"function {name!r} did not end in time"
    allowed = call.allowance
    return f"function {name!r} did not end within {allowed.seconds:g} s, {allowed.by}"
