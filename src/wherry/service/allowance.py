"""How long a call may take: the shortest of what the caller, the function and the server say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.service.call import Allowance

if TYPE_CHECKING:
    from wherry.functions.model import Deployed


def allowance(deployed: Deployed, *, asked: float | None, maximum: float) -> Allowance:
    """Return the shortest of the three, all in seconds, and who said it."""
    found = Allowance(seconds=maximum, by="the server's maximum")
    own = deployed.settings.timeout
    if own is not None and own <= found.seconds:
        found = Allowance(seconds=own, by="the function's timeout")
    if asked is not None and asked < found.seconds:
        found = Allowance(seconds=asked, by="the X-Timeout header")
    return found
