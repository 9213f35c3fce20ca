"""HTTP to those who are told of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.triggers.cron.telling import NotTold

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Run

_WITHIN = 30.0
"""Seconds for one attempt, answer included."""


async def post(url: str, document: dict[str, Any]) -> None:
    """Send JSON. Raises :class:`NotTold` for anything but a 2xx."""
    await _ask("POST", url, document=document)


async def fetch(url: str) -> None:
    """Ask for a URL. Raises :class:`NotTold` for anything but a 2xx."""
    await _ask("GET", url, document=None)


def slack_message(run: Run) -> dict[str, Any]:
    """Return what Slack is told: https://api.slack.com/messaging/webhooks."""
    took = "" if run.duration is None else f" in {run.duration:.1f} s"
    error = f": {run.error}" if run.error else ""
    text = f"Schedule *{run.name}* {run.status}{took}{error}"
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # no links, no mentions
        text = text.replace(char, entity)
    return {"text": text}


async def _ask(method: str, url: str, *, document: dict[str, Any] | None) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_WITHIN, connect=10.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # Not further than where it was sent.
            session.request(method, url, json=document, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise NotTold(type(error).__name__) from None  # its text may hold the URL
    if not 200 <= status < 300:
        raise NotTold(f"it answered {status}")
