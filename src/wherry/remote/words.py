"""The words of a request, each checked once: nothing that passes here can be taken for an option.

Every function takes the name of the field for its messages and raises
:class:`wherry.remote.faults.Malformed`, which names the field, the value and what would be right.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from wherry.errors import UsageError
from wherry.images.reference import Reference
from wherry.remote.faults import Malformed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,254}", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
_VARIABLE = re.compile(r"[^=\0]{1,255}")
_CAPABILITY = re.compile(r"(?:CAP_)?[A-Z][A-Z_]{1,40}", re.ASCII)
_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off", ""})
_SHOWN = 80


def shown(value: object) -> str:
    """Return a value for a message, on one line and not too long."""
    try:
        text = ascii(value)
    except ValueError:  # a number somewhere in it has thousands of digits
        text = "a number of that size"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def text_of(value: object, *, name: str) -> str:
    """Return text that a program can be given: no NUL, nothing that is no Unicode."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(f"{name}: {shown(value)} must be text")
    if isinstance(value, int) and abs(value) >= 1 << 63:
        raise Malformed(f"{name}: a number of that size must be written as text")
    text = str(value)
    if "\0" in text:
        raise Malformed(f"{name}: {shown(text)} must have no NUL in it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{name}: {shown(text)} is not Unicode") from error
    return text


def flag(value: object, *, name: str) -> bool:
    """Read a boolean of JSON, or its words in a form: ``false``, ``0``, ``no`` and nothing."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _YES or word in _NO:
        return word in _YES
    raise Malformed(f"{name}: {shown(value)} must be true or false")


def container(value: object, *, name: str = "name") -> str:
    """Check a container's name or id."""
    text = text_of(value, name=name)
    if not _NAME.fullmatch(text):
        raise Malformed(
            f"{name}: {shown(text)} is no container; names and ids are letters and digits, with "
            "'_', '.' and '-' after the first"
        )
    return text


def image(value: object, *, name: str = "image") -> str:
    """Check an image's name or id."""
    text = text_of(value, name=name)
    if _IMAGE_ID.fullmatch(text):
        return text
    try:
        Reference.parse(text)
    except UsageError as error:
        raise Malformed(_short(str(error))) from error
    return text


def _short(message: str) -> str:
    plain = message.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= 4 * _SHOWN else f"{plain[: 4 * _SHOWN]}…"


def argv(value: object, *, name: str = "data") -> tuple[str, ...]:
    """Read a command: a list as it is, text split as a shell would, and never given to one."""
    if isinstance(value, Mapping):
        value = listed(value, name=name)
    if isinstance(value, list):
        return tuple(text_of(each, name=f"{name}[{n}]") for n, each in enumerate(value))
    text = text_of(value, name=name)
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise Malformed(f"{name}: {shown(text)} cannot be split into words: {error}") from error


def listed(value: Mapping[str, Any], *, name: str) -> list[Any]:
    """Return the list that a form writes as ``data[0]=…&data[1]=…``."""
    if sorted(value) != sorted(map(str, range(len(value)))):
        raise Malformed(f"{name}: {shown(dict(value))} must be text, or a list")
    return [value[str(number)] for number in range(len(value))]


def mapping(value: object, *, name: str) -> Mapping[str, Any]:
    """Check that a field holds names and values."""
    if value in (None, "", [], {}):
        return {}
    if not isinstance(value, Mapping):
        raise Malformed(f"{name}: {shown(value)} must be names with values, as in {name}[a]=b")
    return value


def environment(value: object, *, name: str = "env") -> Mapping[str, str]:
    """Read variables; a list of ``NAME=VALUE`` will do as well."""
    if isinstance(value, list):
        pairs = [text_of(each, name=name).partition("=") for each in value]
        value = {key: text for key, _, text in pairs}
    given = mapping(value, name=name)
    for key in given:
        if not _VARIABLE.fullmatch(text_of(key, name=name)):
            raise Malformed(f"{name}: {shown(key)} is no name of a variable")
    return {key: text_of(each, name=f"{name}[{key}]") for key, each in given.items()}


def labels(value: object, *, name: str = "labels") -> Mapping[str, str]:
    """Read labels."""
    given = mapping(value, name=name)
    for key in given:
        if not _LABEL.fullmatch(key):
            raise Malformed(f"{name}: {shown(key)} is no name of a label")
    return {key: text_of(each, name=f"{name}[{key}]") for key, each in given.items()}


def user(value: object, *, name: str = "user") -> str:
    """Check ``USER[:GROUP]``, by names or numbers."""
    text = text_of(value, name=name)
    if not _USER.fullmatch(text):
        raise Malformed(f"{name}: {shown(text)} must be USER or USER:GROUP")
    return text


def network(value: object, *, name: str = "network") -> str:
    """Check the name of a network, or ``container:ID``."""
    text = text_of(value, name=name)
    container(text.removeprefix("container:"), name=name)
    return text


def path(value: object, *, name: str) -> str:
    """Check an absolute path."""
    text = text_of(value, name=name)
    if not text.startswith("/"):
        raise Malformed(f"{name}: {shown(text)} must be an absolute path")
    return text


def capabilities(value: object, *, name: str = "capabilities") -> tuple[str, ...]:
    """Read Linux capabilities, with or without ``CAP_``."""
    found = argv(value, name=name)
    for each in found:
        if not _CAPABILITY.fullmatch(each.upper()):
            raise Malformed(f"{name}: {shown(each)} is no capability")
    return tuple(each.upper().removeprefix("CAP_") for each in found)
