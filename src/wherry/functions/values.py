"""How the text of one label becomes a value; each raises :class:`UsageError` naming its field."""

from __future__ import annotations

import re
from typing import Literal, cast, get_args

from wherry.errors import UsageError
from wherry.functions.model import Mode
from wherry.functions.quantities import parse_bytes, parse_seconds
from wherry.models import Ready
from wherry.names import nearest

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_READY = re.compile(r"(?:([A-Za-z]*):)?([0-9]{1,4})", re.ASCII)
_MOST_READY = 1000


def seconds(text: str, field: str) -> float:
    """Read a duration."""
    return parse_seconds(text, field=field)


def positive_seconds(text: str, field: str) -> float:
    """Read a duration that leaves some time."""
    found = parse_seconds(text, field=field)
    if found == 0:
        raise UsageError(f"{field}: {text!r} leaves no time; leave it out for the server's maximum")
    return found


def size(text: str, field: str) -> int:
    """Read bytes."""
    return parse_bytes(text, field=field)


def whole(text: str, field: str, *, least: int, most: int = 999_999_999) -> int:
    """Read a whole number."""
    number = int(text) if _WHOLE.fullmatch(text) else -1
    if not least <= number <= most:
        to = f" to {most}" if most < 999_999_999 else ""
        raise UsageError(f"{field}: {text!r} is no whole number from {least}{to}")
    return number


def scoped(text: str, field: str) -> str:
    """Return what a container may do with a Docker socket: ``true``, or NAME:VALUE by commas."""
    for part in text.split(",") if text != "true" else ():
        name, colon, value = part.partition(":")
        if not name.strip() or not colon or not value:
            raise UsageError(f"{field}: {part!r} must be NAME:VALUE, such as children:20, or true")
    return text


def truth(text: str, field: str) -> bool:
    """Read ``true`` or ``false``."""
    if text.lower() not in _TRUE | _FALSE:
        raise UsageError(f"{field}: {text!r} is neither true nor false")
    return text.lower() in _TRUE


def ready(text: str, field: str) -> Ready:
    """Read ``created:2``, ``started:4``, ``2`` or ``none``."""
    if text == "none":
        return Ready(min=0, max=0)
    match = _READY.fullmatch(text)
    levels = ("created", "started")
    if match is None or int(match[2]) > _MOST_READY:
        raise UsageError(
            f"{field}: {text!r} says no number of containers; write created:2, started:2 or none, "
            f"with at most {_MOST_READY}"
        )
    level = match[1] if match[1] is not None else "created"
    if level not in levels:
        raise UsageError(f"{field}: there is no level {level!r}{nearest(level, levels)}")
    number = int(match[2])
    return Ready(
        min=number,
        max=max(number, Ready().max),
        level=cast("Literal['created', 'started']", level),
    )


def exit_codes(text: str, field: str) -> frozenset[int]:
    """Read exit codes by commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_WHOLE.fullmatch(part) and 1 <= int(part) <= 255 for part in parts):
        raise UsageError(
            f"{field}: {text!r} is no list of exit codes from 1 to 255; write them as in 75,111"
        )
    return frozenset(int(part) for part in parts)


def mode(text: str, field: str) -> Mode:
    """Read how the program speaks."""
    known = get_args(Mode)
    if text not in known:
        raise UsageError(f"{field}: there is no {text!r}{nearest(text, known)}")
    return cast("Mode", text)


def path(text: str, field: str) -> str:
    """Read an absolute path."""
    parts = text.split("/")
    if not text.startswith("/") or ".." in parts or any(ord(char) < 33 for char in text):
        raise UsageError(f"{field}: {text!r} is no absolute path; write one such as /shop")
    return text


GATEWAY = frozenset(
    {"function", "async-function", "system", "ui", "healthz", "metrics", "openapi.json"}
)
"""First segments of the gateway's own paths, which no function can have."""


def prefix(text: str, field: str) -> str:
    """Read a prefix of the gateway's paths."""
    found = path(text, field)
    if first_segment(found) in GATEWAY:
        raise UsageError(
            f"{field}: {text!r} is the gateway's own; no path can begin with "
            f"/{first_segment(found)}"
        )
    return found


def first_segment(text: str) -> str:
    """Return ``shop`` of ``/shop/cart``."""
    return text[1:].partition("/")[0]
