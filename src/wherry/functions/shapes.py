"""Tables, lists and texts out of a file, or an error that says where in it something is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wherry.errors import UsageError
from wherry.names import nearest


def table(value: object, field: str) -> dict[str, Any]:
    """Return a table; nothing at all is an empty one."""
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{field}: {value!r} must be a table of names and values")
    for key in value:
        if not isinstance(key, str):
            raise UsageError(f"{field}: {key!r} must be text")
    return value


def texts(value: object, field: str) -> list[str] | None:
    """Return a list of texts; nothing at all is None."""
    if value is None or value == "":
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{field}: {value!r} must be a list of texts")
    return value


def text(value: object, field: str) -> str:
    """Return a text; nothing at all is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{field}: {value!r} must be text")
    return value


def plain(value: object, field: str) -> str:
    """Return a text, number or truth as the text that it would be in a label."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    raise UsageError(f"{field}: {value!r} must be text, a number, or true or false")


def pairs(value: object, field: str) -> dict[str, str] | None:
    """Return a table of plain values as texts; nothing at all is None."""
    if value is None or value == "":
        return None
    return {name: plain(item, f"{field}.{name}") for name, item in table(value, field).items()}


def check_keys(given: Mapping[str, object], known: Iterable[str], *, field: str) -> None:
    """Raise :class:`UsageError` for a key that is not known, naming the nearest."""
    names = list(known)
    for key in given:
        if key not in names:
            where = f"{field}: " if field else ""
            raise UsageError(f"{where}there is no {key!r}{nearest(key, names)}")
