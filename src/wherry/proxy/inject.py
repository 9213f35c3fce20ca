"""What a container gets with its socket: a directory, and variables that point to it."""

from __future__ import annotations

from pathlib import Path

from wherry.proxy.policy.model import Injection
from wherry.proxy.tenants.places import SOCKET

TARGET = "/run/wherry-docker"
"""Where the directory of the socket is mounted. A socket that is mounted by itself is dead when
the proxy has started again; a directory is not."""


def variables(target: str = TARGET) -> dict[str, str]:
    """Return the environment of a container with a socket: for every client that reads some."""
    path = f"{target}/{SOCKET}"
    return {
        "DOCKER_HOST": f"unix://{path}",
        "DOCKER_BUILDKIT": "0",
        "TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE": path,
        "TESTCONTAINERS_RYUK_DISABLED": "true",
    }


def injection(directory: Path) -> Injection:
    """Return what a container gets for the socket in a directory."""
    env = tuple(f"{name}={value}" for name, value in variables().items())
    return Injection(source=str(directory), target=TARGET, env=env)
