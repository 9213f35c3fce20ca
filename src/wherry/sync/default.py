"""The module's own functions: one client for the whole process, made when it is first used."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from wherry.sync.client import Client

if TYPE_CHECKING:
    from wherry.models import Function

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_default: Client | None = None


def from_env(*, functions: Iterable[Function] = ()) -> Client:
    """Return a client of the engine that ``WHERRY_ENGINE`` names, by default ``local``.

    ``functions`` are declared, to be invoked by their names.

    Raises :class:`UsageError` for a name that does not exist.
    """
    return Client.from_env(functions=functions)


def default_client() -> Client:
    """Return the client of this process, which is closed when Python exits."""
    global _default
    with _lock:
        if _default is None:
            _default = from_env()
        return _default


def close_default() -> None:
    """Close this process's client, if there is one; the next use makes a new one."""
    global _default
    with _lock:
        client, _default = _default, None
    if client is not None:
        client.close()


def _forget() -> None:
    """In a forked child: the thread, and the containers, are the parent's."""
    global _default, _lock
    _lock = threading.Lock()
    _default = None


def _deferred(method: Callable[Concatenate[Client, P], T]) -> Callable[P, T]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(default_client(), *args, **kwargs)

    return call


run = _deferred(Client.run)
invoke = _deferred(Client.invoke)
start = _deferred(Client.start)
popen = _deferred(Client.popen)
map = _deferred(Client.map)  # noqa: A001 - the client's own name for it
pipe = _deferred(Client.pipe)
start_pipe = _deferred(Client.start_pipe)
function = _deferred(Client.function)
prepare = _deferred(Client.prepare)

os.register_at_fork(after_in_child=_forget)
