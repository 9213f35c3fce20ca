"""Environment variables and labels: mappings, ``NAME=value`` texts, files of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from wherry import config
from wherry.errors import UsageError

StrPath = str | PathLike[str]
Given = Mapping[str, str] | Iterable[str]


def variables(given: Given, *, files: StrPath | Iterable[StrPath] = ()) -> dict[str, str]:
    """Return the environment of a call. Raises :class:`UsageError`.

    ``NAME`` without a value is our own environment's, or left out when that has none.
    """
    found: dict[str, str] = {}
    for path in (files,) if isinstance(files, str | PathLike) else files:
        found |= _known(_pairs(_lines(path), name=f"env_file {os.fspath(path)!r}"))
    return found | _known(_pairs(given, name="env"))


def labels(given: Given) -> dict[str, str]:
    """Return labels; ``NAME`` without a value is an empty one. Raises :class:`UsageError`."""
    return {key: value or "" for key, value in _pairs(given, name="labels").items()}


def _known(pairs: Mapping[str, str | None]) -> dict[str, str]:
    values = {key: config.variable(key) if value is None else value for key, value in pairs.items()}
    return {key: value for key, value in values.items() if value is not None}


def _pairs(given: Given, *, name: str) -> dict[str, str | None]:
    if isinstance(given, str):
        raise UsageError(f"{name}: {given!r} is one text; write a list or a mapping")
    if isinstance(given, Mapping):
        for key, value in given.items():
            if not isinstance(value, str):
                raise UsageError(f"{name}: {key!r} must be text, not {type(value).__name__}")
        found: dict[str, str | None] = dict(given)
    else:
        found = dict(_pair(text, name=name) for text in given)
    for key, text in found.items():
        if not isinstance(key, str) or not key or "=" in key:
            raise UsageError(f"{name}: {key!r} is no name")
        if "\0" in key or "\0" in (text or ""):
            raise UsageError(f"{name}: {key!r} holds a NUL character, which none can")
    return found


def _pair(text: str, *, name: str) -> tuple[str, str | None]:
    if not isinstance(text, str):
        raise UsageError(f"{name}: {text!r} must be text such as NAME=value")
    key, equals, value = text.partition("=")
    return key, value if equals else None


def _lines(path: StrPath) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"env_file: cannot read {os.fspath(path)!r}: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
