"""Policies put together from options and one-line forms: ``children:20,memory:2g``."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.proxy.policy.model import Limits
from wherry.units import parse_duration, parse_size

_ALSO = {"children": "containers", "cpu": "cpus"}
_SIZES = frozenset(
    {"memory", "memory_each", "shm", "tmpfs", "log_size", "storage",
     "build_context", "image_size"}
)  # fmt: skip
_LISTS = frozenset(
    {"images", "pull", "host_paths", "capabilities", "drop_capabilities", "runtimes", "sysctls",
     "groups", "labels"}
)  # fmt: skip
_TRUTHS = frozenset({"build", "copy_out", "no_new_privileges", "allow_root", "gpus"})
_TEXTS = frozenset({"profile", "copy_in", "ports"})


def quick_policy(text: str, *, field: str = "--docker-api") -> str:
    """Return as TOML what a line such as ``children:20,memory:2g,image:busybox`` says.

    Limits by name (``children`` is ``containers``), and the keys of a policy; those that are lists,
    such as ``image`` and ``pull``, may come several times. An empty text, ``true`` and ``default``
    are the defaults. Raises :class:`UsageError`.
    """
    document: dict[str, Any] = {}
    for part in text.split(",") if text not in ("", "true", "default") else ():
        name, colon, value = part.strip().partition(":")
        if not colon or not value:
            raise UsageError(f"{field}: {part!r} must be NAME:VALUE, such as children:20")
        _set(document, name, value, field=field)
    return dump(document)


def overlaid(
    text: str, *, profile: str | None, limits: Iterable[str], images: Iterable[str],
    pulls: Iterable[str],
) -> str:  # fmt: skip
    """Return a policy's TOML with what options add to it; raises :class:`UsageError`."""
    document = tomllib.loads(text)
    if profile is not None:
        _set(document, "profile", profile, field="--profile")
    for limit in limits:
        name, colon, value = limit.partition(":")
        if not colon:
            raise UsageError(f"--limit: {limit!r} must be NAME:VALUE, such as containers:20")
        _limit(document, name, value, field="--limit")
    for image in images:
        _set(document, "image", image, field="--image")
    for pull in pulls:
        _set(document, "pull", pull, field="--pull")
    return dump(document)


def _set(document: dict[str, Any], name: str, value: str, *, field: str) -> None:
    key = "images" if name == "image" else name
    if key in _TEXTS:
        document[key] = value
    elif key in _TRUTHS:
        if value not in ("true", "false"):
            raise UsageError(f"{field} {name}: {value!r} must be true or false")
        document[key] = value == "true"
    elif key in _LISTS:
        document.setdefault(key, []).append(value)
    else:
        _limit(document, name, value, field=field)


def _limit(document: dict[str, Any], name: str, value: str, *, field: str) -> None:
    key = _ALSO.get(name, name)
    fields = {each.name: each for each in dataclasses.fields(Limits)}
    if key not in fields:
        known = [*fields, *_ALSO, "image", *_LISTS, *_TRUTHS, *_TEXTS]
        raise UsageError(f"{field}: there is no {name!r}{nearest(name, known)}")
    where = f"{field} {name}"
    document.setdefault("limits", {})[key] = _number(key, value, where=where)


def _number(key: str, value: str, *, where: str) -> int | float:
    if key in _SIZES:
        return parse_size(value, name=where)
    if key == "lifetime":
        return parse_duration(value, name=where)
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if number < 0 or (key != "cpus" and key != "cpus_each" and number != int(number)):
        raise UsageError(f"{where}: {value!r} must be a number from 0")
    return number if key.startswith("cpus") else int(number)


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as TOML; keys are quoted, tables stand in line."""
    return "".join(f"{json.dumps(key)} = {_value(value)}\n" for key, value in document.items())


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value)  # a JSON string is a basic string of TOML
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            inside = ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items())
            return f"{{{inside}}}"
    raise UsageError(f"{value!r} cannot be part of a policy")
