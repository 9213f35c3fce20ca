"""JSON that two parsers cannot read differently (F1)."""

from __future__ import annotations

import json
from collections import Counter
from typing import NoReturn

from wherry.proxy.policy.model import Denied

LARGEST = 1024 * 1024
"""Bytes of a body; more is a 413 and never goes past unread (CVE-2026-34040)."""
DEEPEST = 32
MOST = 20_000
"""Texts, numbers, keys and so on of a body: what a policy does with each takes time."""
_DIGITS = 20


def parse(body: bytes, *, where: str = "body") -> object:
    """Return the one JSON value of a body; raises :class:`Denied`.

    Refused: more than 1 MiB, anything but UTF-8, a key that is there twice, NaN and infinities,
    whole numbers that no 64 bits hold, half a surrogate pair, null characters, deep nesting,
    more than 20,000 values, and anything behind the value.
    """
    if len(body) > LARGEST:
        raise Denied(413, f"{where}: more than {LARGEST} bytes of JSON", rule="G4")
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant,
            parse_int=_whole, parse_float=_real,
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise Denied(400, f"{where}: the JSON is not UTF-8", rule="F1") from error
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        raise Denied(400, f"{where}: not valid JSON: {error}", rule="G4") from error
    _check(value, where=where)
    return value


def parse_object(body: bytes, *, where: str = "body", optional: bool = False) -> dict[str, object]:
    """Return the JSON object of a body; if ``optional``, nothing and null are an empty one.

    Raises :class:`Denied`.
    """
    if optional and not body.strip():
        return {}
    value = parse(body, where=where)
    if optional and value is None:
        return {}
    if not isinstance(value, dict):
        raise Denied(400, f"{where}: must be a JSON object", rule="G4")
    return value


def dump(value: object) -> bytes:
    """Return a new body; raises ValueError for NaN, which no renderer makes."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise Denied(400, f"{twice!r} is there twice in one JSON object; say it once", rule="F1")
    return found


def _constant(text: str) -> NoReturn:
    raise Denied(400, f"{text} is no number in JSON", rule="F1")


def _whole(text: str) -> int:
    if len(text) <= _DIGITS and -(2**63) <= (value := int(text)) < 2**63:
        return value
    raise Denied(400, f"the number {text[:24]}… is larger than 64 bits hold", rule="F1")


def _real(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Denied(400, f"the number {text[:24]} is too large", rule="F1")
    return value


def _check(value: object, *, where: str) -> None:
    """Look at every text and every level once, without recursion."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    looked = 0
    while waiting:
        found, depth = waiting.pop()
        looked += 1
        if looked + len(waiting) > MOST:
            raise Denied(413, f"{where}: more than {MOST} values in one JSON", rule="G4")
        if depth > DEEPEST:
            raise _too_deep(where)
        if isinstance(found, str):
            _check_text(found, where=where)
        elif isinstance(found, list):
            waiting += [(each, depth + 1) for each in found]
        elif isinstance(found, dict):
            waiting += [(each, depth + 1) for pair in found.items() for each in pair]


def _check_text(text: str, *, where: str) -> None:
    if "\0" in text:
        raise Denied(400, f"{where}: {text[:40]!r} has a null character", rule="F1")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Denied(400, f"{where}: {text[:40]!r} has half a surrogate pair", rule="F1") from error


def _too_deep(where: str) -> Denied:
    return Denied(400, f"{where}: JSON nested deeper than {DEEPEST} levels", rule="F1")
