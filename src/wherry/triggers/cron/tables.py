"""The ``[schedules.NAME]`` tables of ``wherry.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from wherry.errors import UsageError
from wherry.functions import shapes
from wherry.triggers.cron.checking import checked
from wherry.triggers.cron.declared import Declared
from wherry.triggers.cron.model import Definition

_WIRE = {field.name: field.encode_name for field in msgspec.structs.fields(Definition)}
KEYS = tuple(name for name in _WIRE if name != "name")
"""What a table may hold."""
_SAID = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)


def declared_in(tables: Mapping[str, Any]) -> Declared:
    """Read the ``schedules`` table of a file. Raises :class:`UsageError` if it is no table."""
    definitions: list[Definition] = []
    wrong: dict[str, str] = {}
    for name, value in shapes.table(tables.get("schedules"), "schedules").items():
        try:
            definitions.append(_definition(name, shapes.table(value, f"schedules.{name}")))
        except UsageError as error:
            wrong[name] = str(error)
    return Declared(tuple(definitions), wrong)


def _definition(name: str, given: dict[str, Any]) -> Definition:
    where = f"schedules.{name}"
    shapes.check_keys(given, KEYS, field=where)
    wire = {_WIRE[key]: value for key, value in given.items()}
    try:
        found = msgspec.convert({**wire, "name": name}, Definition)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}{_explained(str(error))}") from None
    try:
        checked(found)
    except UsageError as error:
        raise UsageError(f"{where}.{error}") from error
    return found


def _explained(text: str) -> str:
    match = _SAID.fullmatch(text)
    what, path = (match["what"], match["path"]) if match else (text, None)
    names = {wire: name for name, wire in _WIRE.items()}
    field = f".{names.get(path, path)}" if path else ""
    return f"{field}: {what[:1].lower()}{what[1:].replace('`', '')}"
