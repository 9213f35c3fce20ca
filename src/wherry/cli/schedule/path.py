"""Where a gateway has its schedules."""

from __future__ import annotations

from wherry.cli.gateway_client import segment

ALL = "/system/schedules"


def of(schedule: str, below: str = "") -> str:
    """Return the path of a schedule, or of what is below it."""
    return f"{ALL}/{segment(schedule)}{below}"
