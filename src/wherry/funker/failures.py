"""What can come of a Funker call besides its answer.

FunkerError
├── FunkerUnreachable   nobody was there: nothing was done, and trying again is safe
├── FunkerUnanswered    there was no whole answer: the function may have run
└── FunkerFailed        the function said what went wrong
"""

from __future__ import annotations

from wherry.errors import WherryError


class FunkerError(WherryError):
    """A call came to no answer."""


class FunkerUnreachable(FunkerError):
    """No function of that name accepts calls now; nothing was sent."""


class FunkerUnanswered(FunkerError):
    """The connection or the time ended before a whole answer was there."""


class FunkerFailed(FunkerError):
    """The function ran, and answered with an error."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(f"{kind}: {message}" if kind else message)
        self.kind = kind
        """What the function calls this error, such as ``ValueError``."""
