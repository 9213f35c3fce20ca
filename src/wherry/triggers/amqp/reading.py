"""Members of a JSON object by name, whatever its letters' case, each checked for its type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wherry.errors import UsageError


class Malformed(UsageError):
    """A message that can never be right."""


class Members:
    """One JSON object."""

    def __init__(self, given: Mapping[str, Any], field: str = "") -> None:
        self._field = field
        self._given: dict[str, tuple[str, Any]] = {}
        for name, value in given.items():
            if name.lower() in self._given:
                raise Malformed(f"{self.name(name)}: it is there twice")
            self._given[name.lower()] = (name, value)

    def name(self, name: str) -> str:
        """Return the whole name of a member."""
        return f"{self._field}.{name}" if self._field else name

    def has(self, name: str) -> bool:
        """Whether a member is there, and not null."""
        return self.value(name) is not None

    def value(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return a member as it is; None where there is none."""
        return self._given.get(name.lower(), ("", None))[1]

    def unknown(self, known: frozenset[str]) -> list[str]:
        """Return the members that are not of these."""
        lower = {name.lower() for name in known}
        return [name for key, (name, _) in self._given.items() if key not in lower]

    def text(self, name: str) -> str:
        """Return a text; one that is not there is empty."""
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(name, "text")
        return self.sound(name, value)

    def truth(self, name: str) -> bool:
        """Return true or false; what is not there is false."""
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return bool(value)

    def whole(self, name: str, *, usual: int, most: int) -> int:
        """Return a whole number from 0."""
        value = self.value(name)
        if value is None:
            return usual
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise self.wrong(name, f"a whole number from 0 to {most}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; one that is not there is empty."""
        value = self.value(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "a list of texts")
        return tuple(self.sound(name, item) for item in value)

    def members(self, name: str) -> Members:
        """Return an object; one that is not there is empty."""
        value = self.value(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Members(value, self.name(name))

    def wrong(self, name: str, right: str) -> Malformed:
        """Return the error for a member that is not what it should be."""
        return Malformed(f"{self.name(name)}: {self.value(name)!r:.80} must be {right}")

    def sound(self, name: str, text: str) -> str:
        """Return a text that any program can be given; raises :class:`Malformed`."""
        if "\0" in text:
            raise Malformed(f"{self.name(name)}: it holds a NUL character, which none can")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Malformed(f"{self.name(name)}: it holds half of a surrogate pair") from error
        return text


def read_object(body: bytes) -> Members:
    """Read one JSON object; raises :class:`Malformed`."""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise Malformed(f"the message is no UTF-8: byte {error.start}") from error
    except RecursionError as error:
        raise Malformed("the message is nested too deeply") from error
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(f"the message is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Malformed(f"the message must be a JSON object, not {type(value).__name__}")
    return Members(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Malformed(f"{name}: it is there twice")
        found[name] = value
    return found
