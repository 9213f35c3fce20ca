"""Bodies of requests: forms with nested brackets, and JSON, which are equal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from wherry.remote import words
from wherry.remote.faults import Fault, Malformed

_DEPTH = 5
_KEY = re.compile(r"([^\[\]]*)((?:\[[^\[\]]*\])*)")
_INSIDE = re.compile(r"\[([^\[\]]*)\]")


def too_large(limit: int) -> Fault:
    """Return the answer to a body of more than ``limit`` bytes."""
    return Fault(f"the body is larger than {limit} bytes, the most that is taken", status=413)


def fields_of(body: bytes, *, content_type: str) -> Mapping[str, Any]:
    """Read a body; what is neither a form nor JSON has no fields. Raises :class:`Malformed`."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body.strip():
        return {}
    if kind == "application/json" or kind.endswith("+json"):
        return _json(body)
    if kind == "application/x-www-form-urlencoded":
        return form(body)
    return {}


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is no JSON: {error or 'too many levels'}") from error
    if not isinstance(found, dict):
        raise Malformed("the body must be a JSON object")
    return found


def form(body: bytes) -> dict[str, Any]:
    """Read ``a=1&b[c]=2&d[]=3``: what stands in brackets is a name, also where it is a number.

    Nothing in brackets, and a name that comes again, make a list.
    """
    found: dict[str, Any] = {}
    for pair in body.split(b"&"):
        if pair:
            key, _, value = pair.partition(b"=")
            _put(found, _keys(_decoded(key)), _decoded(value))
    return found


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error


def _keys(text: str) -> list[str]:
    match = _KEY.fullmatch(text)
    if match is None:
        raise Malformed(f"{words.shown(text)}: brackets must come in pairs, as in ports[80]=80")
    keys = [match[1], *_INSIDE.findall(match[2])]
    if len(keys) > _DEPTH:
        raise Malformed(f"{words.shown(text)}: names are nested in {_DEPTH} levels at most")
    return keys


def _put(found: dict[str, Any], keys: list[str], value: str) -> None:
    into = found
    for key, following in pairwise(keys):
        if following == "":
            break
        inner = into.setdefault(key, {})
        if not isinstance(inner, dict):
            raise Malformed(f"{words.shown(key)}: has a value, and names with values")
        into = inner
    is_list = keys[-1] == "" and len(keys) > 1
    key = keys[-2] if is_list else keys[-1]
    if "" in keys[1:-1]:
        raise Malformed(f"{words.shown(key)}: only the last brackets may be empty")
    before = into.get(key)
    if isinstance(before, dict):
        raise Malformed(f"{words.shown(key)}: has a value, and names with values")
    if isinstance(before, list):
        before.append(value)
    elif before is not None:
        into[key] = [before, value]
    else:
        into[key] = [value] if is_list else value
