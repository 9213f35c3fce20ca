"""What messages may ask for. By default: no host mounts, and no network but their own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.triggers.amqp.message import NETWORKS, OPTIONS, Invoke, Message, Remove, Run, Stop


class Forbidden(UsageError):
    """The policy does not allow what a message asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Lists of patterns as a shell's; what is in none of them is refused."""

    images: tuple[str, ...] = ("*",)
    functions: tuple[str, ...] = ("*",)
    containers: tuple[str, ...] = ("*",)
    """Names and ids that may be stopped and removed, and names that may be given."""
    options: tuple[str, ...] = tuple(sorted(OPTIONS - {"Mounts", "Network"}))
    """Of ``Options``. ``Mounts`` needs its sources in :attr:`mounts` as well."""
    mounts: tuple[str, ...] = ()
    """Directories of the host below which a mount's source may be; the same, to be writable,
    with ``:rw``."""
    networks: tuple[str, ...] = ("none",)

    def check(self, message: Message) -> None:
        """Raise :class:`Forbidden` that names what is not allowed."""
        match message:
            case Run():
                self._check_run(message)
            case Invoke(function=name):
                _allow(name, self.functions, "function")
            case Stop(container=name) | Remove(container=name):
                _allow(name, self.containers, "container")

    def _check_run(self, run: Run) -> None:
        _allow(run.image, self.images, "image")
        if run.name:
            _allow(run.name, self.containers, "container")
        for option in sorted(run.options):
            if option not in self.options:
                raise Forbidden(f"Options.{option}: the policy does not allow it")
        if run.network not in self.networks:
            raise Forbidden(f"Options.Network: the policy does not allow {run.network!r}")
        for mount in run.mounts:
            self._check_mount(mount.source or "", writable=not mount.read_only)

    def _check_mount(self, source: str, *, writable: bool) -> None:
        real = PurePosixPath(os.path.realpath(source))  # no link may lead out of what is allowed
        for allowed in self.mounts:
            place = allowed.removesuffix(":rw")
            below = real.is_relative_to(os.path.realpath(place))
            if below and (not writable or allowed.endswith(":rw")):
                return
        how = "writable" if writable else "read-only"
        raise Forbidden(f"Options.Mounts: the policy does not allow {source!r} ({how})")


def read_policy(path: Path) -> Policy:
    """Read a policy from a TOML file; raises :class:`UsageError` that names file and field."""
    try:
        given = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    return policy_of(given, where=str(path))


def policy_of(given: Mapping[str, Any], *, where: str) -> Policy:
    """Read a table; raises :class:`UsageError` that names the field."""
    known = [each.name for each in fields(Policy)]
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{where}: there is no {name!r}{nearest(name, known)}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageError(f"{where}: {name}: {value!r} must be a list of texts")
    for option in given.get("options", ()):
        if option not in OPTIONS:
            raise UsageError(f"{where}: options: there is no {option!r}{nearest(option, OPTIONS)}")
    for network in given.get("networks", ()):
        if network not in NETWORKS:
            near = nearest(network, NETWORKS)
            raise UsageError(f"{where}: networks: there is no {network!r}{near}")
    for mount in given.get("mounts", ()):
        if not mount.startswith("/"):
            raise UsageError(f"{where}: mounts: {mount!r} must be an absolute path")
    return Policy(**{name: tuple(value) for name, value in given.items()})


def _allow(name: str, patterns: tuple[str, ...], what: str) -> None:
    if not any(fnmatchcase(name, pattern) for pattern in patterns):
        raise Forbidden(f"{what} {name!r}: the policy does not allow it")
