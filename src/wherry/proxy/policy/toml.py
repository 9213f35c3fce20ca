"""A policy from a TOML file: every key has a reader, and an error says what would be right."""

from __future__ import annotations

import math
import posixpath
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.proxy.policy import patterns
from wherry.proxy.policy.model import CopyIn, HostPath, Limits, Policy, Ports, Profile
from wherry.units import parse_duration, parse_size

_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z][A-Z_]{1,30})", re.ASCII)
_PORTS = re.compile(r"(?:([0-9a-f.:]+):)?([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_SYSCTL = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_-]+)+", re.ASCII)

Reader = Callable[[Any, str], Any]
"""From the value in the file and the name of its field to the value of the policy."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file: how it is read, and what it means."""

    read: Reader
    help: str


def parse_policy(text: str, *, name: str = "policy") -> Policy:
    """Return the policy of a TOML text; raises :class:`UsageError` naming the field."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: {error}") from error
    return from_table(given, name=name)


def from_table(given: Mapping[str, Any], *, name: str = "policy") -> Policy:
    """Return the policy of a table; raises :class:`UsageError`."""
    _check(given, [*KEYS, "limits"], name)
    table = given.get("limits", {})
    if not isinstance(table, dict):
        raise UsageError(f"{name}: limits: {table!r} must be a table")
    _check(table, LIMITS, f"{name}: limits")
    limits = {key: LIMITS[key].read(value, f"{name}: limits.{key}") for key, value in table.items()}
    found = {
        key: KEYS[key].read(value, f"{name}: {key}")
        for key, value in given.items()
        if key != "limits"
    }
    return Policy(limits=Limits(**limits), **found)


def _check(given: Mapping[str, Any], known: Any, where: str) -> None:  # noqa: ANN401
    for key in given:
        if key not in known:
            raise UsageError(f"{where}: there is no {key!r}{nearest(key, known)}")


def _truth(value: Any, field: str) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise UsageError(f"{field}: {value!r} must be true or false")
    return value


def _count(value: Any, field: str) -> int:  # noqa: ANN401
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{field}: {value!r} must be a whole number, 0 or more")
    return value


def _cores(value: Any, field: str) -> float:  # noqa: ANN401
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or not 0.01 <= value <= 4096:
        raise UsageError(f"{field}: {value!r} must be a number of cores, such as 1.5")
    return float(value)


def _size(value: Any, field: str) -> int:  # noqa: ANN401
    return parse_size(value, name=field)


def _bounded(value: Any, field: str) -> int:  # noqa: ANN401
    size = parse_size(value, name=field)
    if size < 4096:
        raise UsageError(f"{field}: {value!r} would be unlimited for the engine, or nothing; "
                         "give at least 4k")  # fmt: skip
    return size


def _memory(value: Any, field: str) -> int:  # noqa: ANN401
    size = parse_size(value, name=field)
    if size < 6 * 1024 * 1024:
        raise UsageError(f"{field}: {value!r} is less than the engine's least, which is 6m")
    return size


def _some(value: Any, field: str) -> int:  # noqa: ANN401
    if _count(value, field) == 0:
        raise UsageError(f"{field}: 0 would be unlimited for the engine; give at least 1")
    return int(value)


def _texts(value: Any, field: str) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise UsageError(f"{field}: {value!r} must be a list of texts")
    return tuple(value)


def _patterns(value: Any, field: str) -> tuple[str, ...]:  # noqa: ANN401
    found = _texts(value, field)
    for pattern in found:
        try:
            patterns.split(pattern)
        except UsageError as error:
            raise UsageError(f"{field}: {error}") from error
    return found


def _set(value: Any, field: str) -> frozenset[str]:  # noqa: ANN401
    return frozenset(_texts(value, field))


def _capabilities(value: Any, field: str) -> frozenset[str]:  # noqa: ANN401
    found = set()
    for text in _texts(value, field):
        match = _CAPABILITY.fullmatch(text)
        if match is None or match[1] == "ALL":
            raise UsageError(f"{field}: {text!r} must be one capability, such as NET_ADMIN")
        found.add(match[1])
    return frozenset(found)


def _sysctls(value: Any, field: str) -> frozenset[str]:  # noqa: ANN401
    for text in _texts(value, field):
        if not _SYSCTL.fullmatch(text) or not text.startswith("net."):
            raise UsageError(f"{field}: {text!r} must be one of net.…; all others are the host's")
    return frozenset(value)


def _profile(value: Any, field: str) -> Profile:  # noqa: ANN401
    known = [each.value for each in Profile]
    if value not in known:
        raise UsageError(f"{field}: {value!r} must be one of {', '.join(known)}")
    return Profile(value)


def _copy_in(value: Any, field: str) -> CopyIn:  # noqa: ANN401
    known = [each.value for each in CopyIn]
    if value not in known:
        raise UsageError(f"{field}: {value!r} must be one of {', '.join(known)}")
    return CopyIn(value)


def _host_paths(value: Any, field: str) -> tuple[HostPath, ...]:  # noqa: ANN401
    found = []
    for text in _texts(value, field):
        path, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw") or not path.startswith("/") or path == "/":
            raise UsageError(f"{field}: {text!r} must be a directory such as /srv/data, or "
                             "/srv/data:rw")  # fmt: skip
        if posixpath.normpath(path) != path:
            raise UsageError(f"{field}: {text!r} must be written as {posixpath.normpath(path)!r}")
        found.append(HostPath(path, writable=mode == "rw"))
    _check_nesting(found, field)
    return tuple(found)


def _check_nesting(found: list[HostPath], field: str) -> None:
    """Raise :class:`UsageError` for a directory that whoever writes another could exchange."""
    for index, inner in enumerate(found):
        for outer in found[:index] + found[index + 1 :]:
            if inner.path == outer.path:
                raise UsageError(f"{field}: {inner.path!r} must be there once")
            if outer.writable and inner.path.startswith(f"{outer.path}/"):
                raise UsageError(f"{field}: {inner.path!r} is in {outer.path!r}, which may be "
                                 "written, so a link could be put in its place; give one that is "
                                 "not in the other")  # fmt: skip


def _ports(value: Any, field: str) -> Ports:  # noqa: ANN401
    match = _PORTS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UsageError(f"{field}: {value!r} must be as in 8000-8999 or 127.0.0.1:8000-8999")
    first, last = int(match[2]), int(match[3] or match[2])
    if not 1024 <= first <= last <= 65535:
        raise UsageError(f"{field}: {value!r} must be within 1024 to 65535, the lower one first")
    return Ports(first, last, match[1] or "127.0.0.1")


def _lifetime(value: Any, field: str) -> float:  # noqa: ANN401
    return parse_duration(value, name=field)


KEYS: Mapping[str, Key] = {
    "profile": Key(_profile, "`children` (default), `ci`: builds as well, `readonly`: looks only"),
    "images": Key(_patterns, "images of the engine that the tenant sees besides its own, as "
                  "`busybox:*` or `ghcr.io/me/*`; none by default"),
    "pull": Key(_patterns, "images that the tenant may pull; none by default"),
    "build": Key(_truth, "classic builds and commits, also outside of `ci`"),
    "copy_in": Key(_copy_in, "when `docker cp` may write: `never` (default), `stopped`, `always`"),
    "copy_out": Key(_truth, "whether `docker cp` and `docker export` may read (default true)"),
    "host_paths": Key(_host_paths, "directories of the host that may be mounted: `/srv/data` with "
                      "all below it read-only, `/srv/out:rw` itself only; none by default"),
    "ports": Key(_ports, "ports of the host that may be published, as `8000-8999` on 127.0.0.1, or "
                 "with an address before it; none by default"),
    "capabilities": Key(_capabilities, "what `CapAdd` may name; nothing by default"),
    "drop_capabilities": Key(_capabilities, "taken from every container (default `NET_RAW`)"),
    "no_new_privileges": Key(_truth, "forced upon every container (default true)"),
    "allow_root": Key(_truth, "whether a container's user may be its root (default true)"),
    "gpus": Key(_truth, "whether `--gpus` is allowed"),
    "runtimes": Key(_set, "what `Runtime` may name; nothing by default"),
    "sysctls": Key(_sysctls, "what `Sysctls` may name, all of `net.`; nothing by default"),
    "groups": Key(_set, "what `GroupAdd` may name; nothing by default"),
    "labels": Key(_texts, "reserved prefixes that this tenant may use after all, such as "
                  "`com.docker.compose.`"),
}  # fmt: skip
"""The keys of a policy file, besides the table ``limits``."""

LIMITS: Mapping[str, Key] = {
    "containers": Key(_count, "at one time, stopped ones too (default 20)"),
    "networks": Key(_count, "at one time (default 5)"),
    "volumes": Key(_count, "at one time (default 20)"),
    "images": Key(_count, "own ones (default 20)"),
    "execs": Key(_count, "at one time (default 32)"),
    "builds": Key(_count, "at one time (default 1)"),
    "streams": Key(_count, "attaches, followed logs, events and waits at one time (default 64)"),
    "memory": Key(_memory, "of all containers together (default 2g)"),
    "cpus": Key(_cores, "of all containers together (default 2)"),
    "pids": Key(_some, "processes of all containers together (default 2048)"),
    "memory_each": Key(_memory, "of a container that asks for none (default 512m)"),
    "cpus_each": Key(_cores, "of a container that asks for none (default 1)"),
    "pids_each": Key(_some, "of a container that asks for none (default 256)"),
    "shm": Key(_bounded, "`/dev/shm` of a container (default 64m)"),
    "tmpfs": Key(_bounded, "a tmpfs of a container, and a volume in memory (default 256m)"),
    "log_size": Key(_bounded, "one log file of a container (default 10m)"),
    "log_files": Key(_some, "log files of a container (default 3)"),
    "open_files": Key(_some, "the most that the ulimit `nofile` may be set to (default 65536)"),
    "restarts": Key(_some, "after failures, for `on-failure` (default 5)"),
    "stop_timeout": Key(_count, "seconds that a stop may wait (default 60)"),
    "storage": Key(_size, "a container's own layer, where the engine can (default 0: no limit)"),
    "build_context": Key(_size, "a build's context (default 256m)"),
    "image_size": Key(_size, "a pulled or built image (default 4g)"),
    "lifetime": Key(_lifetime, "a container's, as `1h` (default 0: as long as its tenant)"),
    "depth": Key(_count, "tenants below this one, in a row (default 1)"),
}  # fmt: skip
"""The keys of the table ``limits``."""
