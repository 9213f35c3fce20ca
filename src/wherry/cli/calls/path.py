"""Where a gateway has its calls."""

from __future__ import annotations

from wherry.cli.gateway_client import segment

ALL = "/system/calls"


def of(call: str, below: str = "") -> str:
    """Return the path of a call, or of what is below it."""
    return f"{ALL}/{segment(call)}{below}"
