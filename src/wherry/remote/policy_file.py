"""The policy file: ``[default]`` for every token, ``[tokens.NAME]`` for one.

What a token's own table does not say is as in ``[default]``, and what that does not say as in
:class:`wherry.remote.policy.Policy`. An unknown key is an error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.remote.policy import (
    NOTHING_SAID,
    AllowedMount,
    Ceiling,
    Policy,
    check_address,
    check_image_pattern,
    check_network_pattern,
    parse_capability,
    parse_ports,
)
from wherry.units import parse_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Every token's policy."""

    default: Policy = NOTHING_SAID
    tokens: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, token: str) -> Policy:
        """Return the policy of a token, by its name."""
        return self.tokens.get(token, self.default)

    def with_mounts(self, texts: tuple[str, ...]) -> Policies:
        """Return the same with more mounts allowed to who has no table of its own."""
        more = tuple(AllowedMount.parse(text) for text in texts)
        return replace(self, default=replace(self.default, mounts=self.default.mounts + more))


def load_policies(path: Path) -> Policies:
    """Read a policy file. Raises UsageError, naming the file and the key."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"policy file {path}: {error}") from error
    try:
        return read_policies(data)
    except UsageError as error:
        raise UsageError(f"policy file {path}: {error}") from error


def read_policies(data: Mapping[str, Any]) -> Policies:
    """Read what a policy file holds. Raises UsageError, naming the key."""
    _check_keys(data, {"default", "tokens"}, where="")
    default = _policy(_table(data, "default"), NOTHING_SAID, where="default")
    tokens = _table(data, "tokens")
    return Policies(
        default=default,
        tokens={
            name: _policy(_table(tokens, name), default, where=f"tokens.{name}") for name in tokens
        },
    )


def _policy(table: Mapping[str, Any], base: Policy, *, where: str) -> Policy:
    _check_keys(table, {*_READERS, "limits"}, where=f"{where}.")
    changes: dict[str, Any] = {}
    for key in table:
        try:
            if key == "limits":
                changes[key] = _limits(_table(table, key), base.limits)
            else:
                changes[key] = _READERS[key](table[key])
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        except TypeError as error:
            raise UsageError(f"{where}.{key}: {table[key]!r} has the wrong type") from error
    return replace(base, **changes)


def _limits(table: Mapping[str, Any], base: Ceiling) -> Ceiling:
    _check_keys(table, set(_LIMITS), where="limits.")
    changes: dict[str, Any] = {}
    for key, value in table.items():
        amount: Any = value
        if key == "memory" and isinstance(value, str):
            amount = parse_size(value, name="memory")
        is_number = isinstance(amount, _LIMITS[key]) and not isinstance(amount, bool)
        if not is_number or amount <= 0:
            raise UsageError(f"limits.{key}: {value!r} must be more than 0")
        changes[key] = amount
    return replace(base, **changes)


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"{key}: must be a table, not {value!r:.80}")
    return value


def _check_keys(table: Mapping[str, Any], known: set[str], *, where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{where}{key}: there is no such key{nearest(key, known)}")


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _ports(value: object) -> tuple[range, ...]:
    if not isinstance(value, list) or not all(type(item) in (str, int) for item in value):
        raise TypeError
    return parse_ports(value)


def _address(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return check_address(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "images": lambda value: tuple(check_image_pattern(text) for text in _texts(value)),
    "mounts": lambda value: tuple(AllowedMount.parse(text) for text in _texts(value)),
    "ports": _ports,
    "random_ports": _truth,
    "address": _address,
    "capabilities": lambda value: tuple(parse_capability(text) for text in _texts(value)),
    "networks": lambda value: tuple(check_network_pattern(text) for text in _texts(value)),
}
_LIMITS: Mapping[str, tuple[type, ...]] = {
    "memory": (int,),
    "cpus": (int, float),
    "timeout": (int, float),
    "containers": (int,),
}
