"""Engines: places that run containers, all behind the protocol in :mod:`wherry.engines.base`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from wherry.engines.base import Engine

SCHEMES = {
    "local": "wherry.engines.local.engine:LocalEngine",
    "memory": "wherry.engines.memory:MemoryEngine",
    "docker": "wherry.engines.docker.engine:DockerEngine",
    "docker+unix": "wherry.engines.docker.engine:DockerEngine",
    "docker+tcp": "wherry.engines.docker.engine:DockerEngine",
    "docker+tls": "wherry.engines.docker.engine:DockerEngine",
    "docker+ssh": "wherry.engines.docker.engine:DockerEngine",
    "remote+http": "wherry.engines.remote.engine:RemoteEngine",
    "remote+https": "wherry.engines.remote.engine:RemoteEngine",
    "unix": "wherry.engines.docker.engine:DockerEngine",
    "tcp": "wherry.engines.docker.engine:DockerEngine",
    "ssh": "wherry.engines.docker.engine:DockerEngine",
}
"""What stands before the first ``:`` of an engine's name, and the class that it stands for."""


def shown(spec: str) -> str:
    """Return an engine's name for people to read: without a token in it."""
    scheme, slashes, rest = spec.partition("://")
    if "@" not in rest or scheme.endswith("ssh"):
        return spec
    return f"{scheme}{slashes}…@{rest.rpartition('@')[2]}"


def connect(spec: str) -> Engine:
    """Return the engine of a name such as ``local``, ``memory`` or ``docker:unix:///run/x.sock``.

    The whole name is handed to the class's ``connect``, which reads the rest of it. Nothing is
    imported but that class. Raises :class:`UsageError` for a scheme that does not exist.
    """
    scheme = spec.partition(":")[0]
    if scheme not in SCHEMES:
        from wherry.errors import UsageError
        from wherry.names import nearest

        raise UsageError(
            f"engine {shown(spec)!r}: there is no {scheme!r}{nearest(scheme, SCHEMES)}"
        )
    module, _, name = SCHEMES[scheme].partition(":")
    return cast("Engine", getattr(importlib.import_module(module), name).connect(spec))
