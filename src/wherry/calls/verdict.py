"""What becomes of a call after a run of it: done, tried again, or dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wherry.calls.queue import Ending
from wherry.calls.retrying import RETRIED, RetryPolicy
from wherry.calls.rows import describe
from wherry.errors import Busy, TooLarge, WherryError
from wherry.service.outcome import LEFT, describe_timeout, status_of_error

if TYPE_CHECKING:
    from wherry.calls.performing import Run
    from wherry.calls.queue import Claimed
    from wherry.functions.model import Settings


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The run did not begin, or was stopped by us: the call waits as if nothing had been."""

    delay: float = 0.0
    """Seconds."""
    refused: bool = False
    """There was no place for it."""


Verdict = Ending | GiveBack


def judge(
    claimed: Claimed,
    run: Run,
    *,
    error: WherryError | None,
    settings: Settings | None,
    policy: RetryPolicy,
    now: float,
) -> Verdict:
    """Decide. ``error`` is what ended the run in place of an exit; ``now`` is Unix time.

    ``settings`` are the function's, None when there is none of that name.
    """
    if _was_refused(run, error) and claimed.refusals < policy.refusals:
        return GiveBack(policy.refusal.delay(claimed.refusals + 1), refused=True)
    status = status_of_error(error) if error is not None else run.status or 500
    if isinstance(error, TooLarge):  # the result: the function's own doing
        status = 500
    codes = settings.retry_codes if settings else frozenset[int]()
    if error is None and not _wants_retry(run, status, codes) and status < 400:
        return _ending(run, "done", status=status, now=now)
    why = describe(error) if error is not None else _why(run, status)
    if isinstance(error, TooLarge) or not _wants_retry(run, status, codes):
        return _ending(run, "dead", status=status, now=now, error=why)
    retries = policy.retries
    if settings is not None and settings.retries is not None:
        retries = settings.retries
    if claimed.tries > retries:
        return _ending(run, "dead", status=status, now=now, error=why)
    delay = policy.backoff.delay(claimed.tries, asked=run.retry_after)
    return _ending(run, "queued", status=status, now=now, error=why, delay=delay)


def interrupted_too_often(claimed: Claimed, *, now: float) -> Ending:
    """Return the end of a call that is not run once more: it may be what ends the server."""
    return Ending(
        state="dead",
        status=502,
        ended=now,
        error=f"the server ended {claimed.interruptions} times while this call ran",
    )


def cancelled(run: Run, *, now: float) -> Ending:
    """Return the end of a call that was asked to end."""
    return _ending(run, "cancelled", status=LEFT, now=now)


def _was_refused(run: Run, error: WherryError | None) -> bool:
    return isinstance(error, Busy) and (run.call is None or run.call.started is None)


def _wants_retry(run: Run, status: int, codes: frozenset[int]) -> bool:
    ended = run.call.exit if run.call is not None else None
    if codes and ended is not None and ended.reason == "exited" and ended.code:
        return ended.code in codes  # whoever chooses codes says that the others are final
    return status in RETRIED


def _why(run: Run, status: int) -> str:
    ended = run.call.exit if run.call is not None else None
    if run.call is None or ended is None or ended.ok:
        return f"function answered {status}"
    if ended.reason == "timeout":
        return describe_timeout(run.call)
    return f"function {run.call.deployed.name!r} {ended.describe()}"


def _ending(
    run: Run,
    state: Literal["queued", "done", "dead", "cancelled"],
    *,
    status: int,
    now: float,
    error: str | None = None,
    delay: float = 0.0,
) -> Ending:
    call = run.call
    if call is None:
        return Ending(state=state, status=status, ended=now, error=error, delay=delay)
    return Ending(
        state=state,
        status=status,
        error=error,
        delay=delay,
        exit_code=call.exit.code if call.exit else None,
        exit_reason=call.exit.reason if call.exit else None,
        started=call.started,
        first_byte=call.first_byte,
        ended=call.ended or now,
        stdout_bytes=call.stdout_bytes,
        stderr=bytes(call.stderr_tail),
    )
