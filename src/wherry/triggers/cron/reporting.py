"""Telling others of a run that is over: files, mail, Slack, a webhook, a dead man's switch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wherry.calls.retrying import Backoff
from wherry.triggers.cron import mail, posting
from wherry.triggers.cron.saving import save
from wherry.triggers.cron.telling import NotTold

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Definition, Run, Schedule

_LOG = logging.getLogger(__name__)
_TRIES = 4
_RAN = frozenset({"succeeded", "failed", "timed out"})
_ERRORS = frozenset({"failed", "timed out", "missed"})
_TEXT = 4096
"""Bytes of the end of each stream that go with a message."""

Tell = Callable[[], Awaitable[None]]


class Reports:
    """See :class:`wherry.triggers.cron.scheduler.Report`; what cannot be told is logged."""

    def __init__(self, *, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff(first=1.0, most=30.0)

    async def __call__(self, schedule: Schedule, run: Run) -> None:
        """Tell everybody at one time, each until it is taken or four tries have failed."""
        tells = _tells(schedule.definition, run)
        await asyncio.gather(*(self._tell(schedule.name, *each) for each in tells))

    async def _tell(self, name: str, whom: str, tell: Tell) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await tell()
            except NotTold as error:
                said = {"schedule": name, "whom": whom, "error": str(error), "attempt": attempt}
                _LOG.warning("a run could not be told", extra=said)
            else:
                return
            if attempt < _TRIES:
                await asyncio.sleep(self._backoff.delay(attempt))


def _tells(of: Definition, run: Run) -> list[tuple[str, Tell]]:
    is_error, document = run.status in _ERRORS, summary(run)
    found: list[tuple[str, Tell]] = []
    if (
        (folder := of.save_folder)
        and run.status in _RAN
        and (is_error or not of.save_only_on_error)
    ):
        found.append(("save_folder", lambda: asyncio.to_thread(save, run, document, folder=folder)))
    if of.smtp_host and (is_error or not of.mail_only_on_error):
        message = mail.message(of, run, document=document)
        found.append(("mail", lambda: asyncio.to_thread(mail.send, of, message)))
    if (slack := of.slack_webhook) and (is_error or not of.slack_only_on_error):
        text = posting.slack_message(run)
        found.append(("slack_webhook", lambda: posting.post(slack, text)))
    if (webhook := of.webhook) and (is_error or not of.webhook_only_on_error):
        told = {**document, "stdout": _end(run.stdout), "stderr": _end(run.stderr)}
        found.append(("webhook", lambda: posting.post(webhook, told)))
    if (ping := of.ping) and run.status == "succeeded":
        found.append(("ping", lambda: posting.fetch(ping)))
    return found


def summary(run: Run) -> dict[str, Any]:
    """Return what is told of a run: nothing of its environment, and no output."""
    found = {
        "schedule": run.name,
        "id": run.id,
        "status": run.status,
        "cause": run.cause,
        "scheduledAt": _when(run.scheduled),
        "startedAt": _when(run.started),
        "endedAt": _when(run.ended),
        "durationSeconds": run.duration,
        "exitCode": run.exit_code,
        "error": run.error,
        "attempts": run.attempts,
        "count": run.count if run.count > 1 else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _when(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _end(data: bytes) -> str:
    return data[-_TEXT:].decode(errors="replace")
