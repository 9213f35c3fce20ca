"""Funker: call services of a network by their names, and be one.

    >>> from wherry import funker
    >>> funker.call("add", a=1, b=2)
    3
    >>> funker.handle(lambda a, b: a + b)

See ``docs/how-to/funker.md``.
"""

from __future__ import annotations

from wherry.funker.caller import Caller, acall, call
from wherry.funker.failures import FunkerError, FunkerFailed, FunkerUnanswered, FunkerUnreachable
from wherry.funker.handling import ahandle, handle

__all__ = [
    "Caller",
    "FunkerError",
    "FunkerFailed",
    "FunkerUnanswered",
    "FunkerUnreachable",
    "acall",
    "ahandle",
    "call",
    "handle",
]
