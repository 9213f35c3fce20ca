"""What an engine refuses, in errors that a stranger may read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.engines.docker.failures import Refused
from wherry.errors import Conflict, EngineError, ImageNotFound, NotFound, UsageError

_INNER = re.compile(
    r"(?<![\w.])/[^\s:'\"]*/(?:overlay2|containers?|containerd|volumes|moby|runc)/[^\s:'\"]*"
)
_NO_IMAGE = "no such image"


class Failed(EngineError):
    """The engine could not do it; the message is in its own words."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise what a refusal of the engine means."""
    try:
        yield
    except Refused as error:
        raise meaning(error) from error


def meaning(error: Refused) -> Exception:
    """Return the error that a refusal stands for; its message names no path of the engine's."""
    words = without_paths(error.reason)
    if lacks_image(error):
        return ImageNotFound(words)
    if error.status == 404:
        return NotFound(words)
    if error.status == 409:
        return Conflict(words)
    if error.status == 400:
        return UsageError(words)
    return Failed(words)


def lacks_image(error: Refused) -> bool:
    """Whether the engine has no image of the name that it was asked for."""
    return error.status == 404 and _NO_IMAGE in error.reason.lower()


def without_paths(text: str) -> str:
    """Return an engine's words without where it keeps things."""
    return " ".join(_INNER.sub("…", text).split())
