"""Queries, read strictly and made anew: a key that is not in the table is dropped (G5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wherry.proxy.policy import names, paths
from wherry.proxy.policy.model import Denied, Limits
from wherry.proxy.policy.operations import Operation

if TYPE_CHECKING:
    from wherry.proxy.policy.routing import Query, Route

_FALSE = frozenset({"", "0", "no", "false", "none"})
_TRUE = frozenset({"1", "yes", "true"})
_TIME = re.compile(r"[0-9A-Za-z:+.-]{1,64}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_PS = re.compile(r"[-A-Za-z0-9 ,=]{0,256}", re.ASCII)
_SIGNAL = re.compile(r"[A-Za-z0-9+-]{0,20}", re.ASCII)
_TAIL = re.compile(r"all|-?[0-9]{0,9}", re.ASCII)
_KEYS = re.compile(r"[!-~]{0,64}", re.ASCII)
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+){0,3}", re.ASCII)
_CONDITIONS = frozenset({"", "not-running", "next-exit", "removed"})

Reader = Callable[[str, str, Limits], str]
"""From a value, its key and the limits to the value of the new query."""


def clean(route: Route, limits: Limits) -> dict[str, str]:
    """Return the new query of a route, but for names and filters, which need looking up.

    Keys of :data:`QUERIES` are copied when their value is right, every other key is dropped.
    Raises :class:`Denied` (400) for a wrong value and for a key that is there twice.
    """
    _refuse(route)
    readers = QUERIES.get(route.operation, {})
    return {
        key: reader(route.query.one(key), key, limits)
        for key, reader in readers.items()
        if key in route.query.keys
    }


def truth(query: Query, key: str, *, default: bool = False) -> bool:
    """Return a truth as the engine reads it; raises :class:`Denied` for an unclear one."""
    if key not in query.keys:
        return default
    return _boolean(query.one(key), key, Limits()) == "1"


def new_name(query: Query, key: str = "name") -> str:
    """Return the plain name for a new or renamed container; empty without one."""
    text = query.one(key)
    return names.check_new(text, field=key) if text else ""


def check_detach_keys(text: str, *, field: str) -> str:
    """Return a sequence of keys; raises :class:`Denied`."""
    if not _KEYS.fullmatch(text):
        raise _wrong(field, text, "a sequence of keys such as ctrl-p,ctrl-q")
    return text


def check_platform(text: str, *, field: str) -> str:
    """Return a platform such as ``linux/arm64``; raises :class:`Denied`."""
    if text and not _PLATFORM.fullmatch(text):
        raise _wrong(field, text, "a platform such as linux/arm64")
    return text


def _refuse(route: Route) -> None:
    if route.operation is Operation.CONTAINER_REMOVE and truth(route.query, "link"):
        raise Denied(403, "link: links are not offered; remove the container", rule="2.2 link")


def _boolean(text: str, key: str, limits: Limits) -> str:
    lower = text.lower()
    if lower in _FALSE:
        return "0"
    if lower in _TRUE:
        return "1"
    raise _wrong(key, text, "1 or 0")


def _number(text: str, key: str, limits: Limits) -> str:
    if text and not _INTEGER.fullmatch(text):
        raise _wrong(key, text, "a whole number")
    return str(int(text or 0))


def _size(text: str, key: str, limits: Limits) -> str:
    number = int(_number(text, key, limits))
    if not 0 <= number <= 65535:
        raise _wrong(key, text, "a whole number from 0 to 65535")
    return str(number)


def _grace(text: str, key: str, limits: Limits) -> str:
    number = int(_number(text, key, limits))
    return str(limits.stop_timeout if number < 0 else min(number, limits.stop_timeout))


def _matching(pattern: re.Pattern[str], right: str) -> Reader:
    def read(text: str, key: str, limits: Limits) -> str:
        if not pattern.fullmatch(text):
            raise _wrong(key, text, right)
        return text

    return read


def _time(text: str, key: str, limits: Limits) -> str:
    if text and not _TIME.fullmatch(text):
        raise _wrong(key, text, "a time, as seconds since 1970 or as in 10m")
    return text


def _condition(text: str, key: str, limits: Limits) -> str:
    if text not in _CONDITIONS:
        raise _wrong(key, text, "not-running, next-exit or removed")
    return text


def _path(text: str, key: str, limits: Limits) -> str:
    # The engine takes a relative path from the container's root; a trailing "/." means something.
    whole = text if text.startswith("/") else f"/{text}"
    paths.clean(whole, field=key, rule="2.2 archive")
    return whole


def _platform(text: str, key: str, limits: Limits) -> str:
    return check_platform(text, field=key)


def _scope(text: str, key: str, limits: Limits) -> str:
    if text not in ("", "local"):
        raise _wrong(key, text, "local")
    return text


_signal = _matching(_SIGNAL, "a signal such as SIGTERM")
_detach = _matching(_KEYS, "a sequence of keys such as ctrl-p,ctrl-q")
_STREAMS: Mapping[str, Reader] = {"stdin": _boolean, "stdout": _boolean, "stderr": _boolean}
_LOOK: Mapping[str, Reader] = {"path": _path}

QUERIES: Mapping[Operation, Mapping[str, Reader]] = {
    Operation.EVENTS: {"since": _time, "until": _time},
    Operation.CONTAINER_LIST: {"all": _boolean, "limit": _number, "size": _boolean},
    Operation.CONTAINER_CREATE: {"platform": _platform},
    Operation.CONTAINER_INSPECT: {"size": _boolean},
    Operation.CONTAINER_TOP: {"ps_args": _matching(_PS, "letters, digits, - , and =")},
    Operation.CONTAINER_LOGS: {
        "follow": _boolean, "stdout": _boolean, "stderr": _boolean, "since": _time, "until": _time,
        "timestamps": _boolean, "tail": _matching(_TAIL, "all or a number"), "details": _boolean,
    },
    Operation.CONTAINER_STATS: {"stream": _boolean, "one-shot": _boolean},
    Operation.CONTAINER_START: {"detachKeys": _detach},
    Operation.CONTAINER_STOP: {"t": _grace, "signal": _signal},
    Operation.CONTAINER_RESTART: {"t": _grace, "signal": _signal},
    Operation.CONTAINER_KILL: {"signal": _signal},
    Operation.CONTAINER_WAIT: {"condition": _condition},
    Operation.CONTAINER_RESIZE: {"h": _size, "w": _size},
    Operation.CONTAINER_ATTACH: {
        "logs": _boolean, "stream": _boolean, **_STREAMS, "detachKeys": _detach,
    },
    Operation.CONTAINER_ATTACH_WS: {
        "logs": _boolean, "stream": _boolean, **_STREAMS, "detachKeys": _detach,
    },
    Operation.ARCHIVE_STAT: _LOOK,
    Operation.ARCHIVE_GET: _LOOK,
    Operation.ARCHIVE_PUT: {**_LOOK, "noOverwriteDirNonDir": _boolean, "copyUIDGID": _boolean},
    Operation.CONTAINER_REMOVE: {"v": _boolean, "force": _boolean},
    Operation.EXEC_RESIZE: {"h": _size, "w": _size},
    Operation.IMAGE_LIST: {
        "all": _boolean, "digests": _boolean, "shared-size": _boolean, "manifests": _boolean,
    },
    Operation.IMAGE_INSPECT: {"manifests": _boolean},
    Operation.IMAGE_REMOVE: {"noprune": _boolean},
    Operation.NETWORK_INSPECT: {"verbose": _boolean, "scope": _scope},
    Operation.VOLUME_REMOVE: {"force": _boolean},
}  # fmt: skip
"""What is copied into the query to the engine, by endpoint; nothing for those that are missing."""


def _wrong(key: str, value: str, right: str) -> Denied:
    return Denied(400, f"{key}: {value[:80]!r} must be {right}", rule="G5")
