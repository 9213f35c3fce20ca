"""One run: its tries, its deadline, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from wherry.calls.retrying import Backoff
from wherry.errors import Conflict, WherryError
from wherry.triggers.cron.outputs import Outputs

if TYPE_CHECKING:
    from wherry.models import Exit
    from wherry.triggers.cron.clock import Clock
    from wherry.triggers.cron.model import Run, Schedule, Status
    from wherry.triggers.cron.outputs import Write

_LOG = logging.getLogger(__name__)
_LONGEST = 3600.0
"""Seconds between two tries at most."""


class StillRuns(Conflict):
    """What is to be run goes on already, begun by somebody else: this run is skipped."""


class Perform(Protocol):
    """Runs a job once. Cancelling it kills what it started before it returns.

    Raises :class:`StillRuns` for a job that others have begun.
    """

    async def __call__(self, schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        """Run it under an id of its own; raises :class:`WherryError` when it cannot be run."""
        ...


Show = Callable[[Outputs], None]
"""Takes where the output of a try is kept."""


@dataclass(frozen=True, slots=True)
class _Try:
    status: Status
    outputs: Outputs
    exit_code: int | None = None
    error: str | None = None


async def perform(
    schedule: Schedule, run: Run, *, do: Perform, clock: Clock, show: Show = lambda _: None
) -> Run:
    """Try until it succeeds or there are no tries left, and return what came of it.

    ``show`` is told where what each try writes is found while it goes on.
    """
    backoff = Backoff(first=schedule.backoff, most=_LONGEST)
    most = schedule.definition.retries + 1
    attempt = 0
    while True:
        attempt += 1
        outputs = Outputs()
        show(outputs)
        came = await _attempt(schedule, f"{run.id}.{attempt}", do=do, outputs=outputs)
        run = _noted(run, came, attempts=attempt)
        if came.status in ("succeeded", "skipped") or attempt >= most:
            return replace(run, ended=clock.now())
        await clock.sleep(backoff.delay(attempt))


async def _attempt(
    schedule: Schedule,
    id: str,  # noqa: A002
    *,
    do: Perform,
    outputs: Outputs,
) -> _Try:
    deadline = asyncio.timeout(schedule.timeout)
    try:
        async with deadline:
            exit_ = await do(schedule, id=id, write=outputs.add)
    except TimeoutError as error:
        if not deadline.expired():
            return _Try("failed", outputs, error=str(error) or "it ran out of time")
        return _Try("timed out", outputs, error=f"ended by its timeout of {schedule.timeout:g} s")
    except StillRuns as error:
        return _Try("skipped", outputs, error=str(error))
    except WherryError as error:
        return _Try("failed", outputs, error=str(error))
    except Exception as error:  # noqa: BLE001 - its run has to end, and says why
        _LOG.exception("a schedule met a mistake in wherry itself")
        return _Try("failed", outputs, error=f"a mistake in wherry itself: {error!r}")
    if exit_.ok:
        return _Try("succeeded", outputs, exit_code=exit_.code)
    status: Status = "timed out" if exit_.reason == "timeout" else "failed"
    return _Try(status, outputs, exit_code=exit_.code, error=exit_.describe())


def _noted(run: Run, came: _Try, *, attempts: int) -> Run:
    return replace(
        run,
        status=came.status,
        attempts=attempts,
        exit_code=came.exit_code,
        error=came.error,
        stdout=came.outputs.stdout,
        stderr=came.outputs.stderr,
        truncated=came.outputs.truncated,
    )


async def ended(task: asyncio.Task[None]) -> None:
    """Wait until a task is over, whatever came of it."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
