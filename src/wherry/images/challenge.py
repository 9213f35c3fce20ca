"""The WWW-Authenticate header: what a registry wants to see (RFC 9110, section 11)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_SCHEME = re.compile(rf"({_WORD})(?:\s+|$|(?=,))")
_SEPARATOR = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate: its scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read every challenge of every header; what cannot be read is left out."""
    found: list[Challenge] = []
    for value in values:
        found += _parse(value)
    return tuple(found)


def strongest(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the challenge to answer: a token before a password; None when we can do neither."""
    known = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
    bearer = known.get("bearer")
    if bearer and bearer.parameters.get("realm"):
        return bearer
    return known.get("basic")


def _parse(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    position = 0
    while True:
        position = _end(_SEPARATOR.match(value, position), position)
        if position >= len(value):
            return found
        if found and (match := _PARAMETER.match(value, position)):
            name, quoted, plain = match.groups()
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters[name.lower()] = text
        elif match := _SCHEME.match(value, position):
            parameters = {}
            found.append(Challenge(match[1].lower(), parameters))
        else:
            return found
        position = match.end()


def _end(match: re.Match[str] | None, default: int) -> int:
    return match.end() if match else default
