"""Where proxies keep what they know, and where the sockets of tenants are.

A proxy has a directory of its own, which one process holds at a time. Directories of proxies that
served one command (``run-…``) are taken over, settled and removed by the next proxy to start.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from wherry.errors import UsageError
from wherry.proxy.policy.model import NAME

SOCKET = "docker.sock"
_LONGEST_SOCKET = 107
_FLEETING = "run-"


def check_tenant_name(name: str) -> str:
    """Return the name of a tenant; raises :class:`UsageError` for what cannot be one."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"tenant {name!r}: a name is at most 32 lower-case letters, digits and dashes, with no "
            "dash at either end"
        )
    return name


def nested_name(parent: str) -> str:
    """Return a new name for a tenant below another; it has no dot, so prefixes cannot overlap."""
    return f"{parent[:20]}-{secrets.token_hex(5)}"


class Places:
    """Directories below one root, such as ``<data dir>/proxy``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, name: str) -> Path:
        """Return the directory of a proxy by its name."""
        return self.root / check_tenant_name(name)

    def fleeting(self) -> Path:
        """Return a new directory for the proxy of one command."""
        return self.root / f"{_FLEETING}{secrets.token_hex(4)}"

    def left(self) -> list[Path]:
        """Return the directories of commands, over or not: who can lock one may settle it."""
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if path.name.startswith(_FLEETING))

    def all(self) -> list[Path]:
        """Return every directory with a registry in it."""
        if not self.root.is_dir():
            return []
        return sorted(path.parent for path in self.root.glob("*/registry.db"))


def socket_directory(base: Path) -> Path:
    """Make a directory for one tenant's socket: it is mounted into containers as a whole.

    Nobody but us can pass its parent on this host; whoever has the directory itself in a
    container may connect, whatever user they are. Raises :class:`UsageError` for a path that is
    too long for a socket in it.
    """
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = base / secrets.token_hex(4)
    if len(os.fsencode(directory / SOCKET)) > _LONGEST_SOCKET:
        raise UsageError(
            f"{directory}: a socket there has a longer path than the kernel takes "
            f"({_LONGEST_SOCKET} bytes); use a shorter data or runtime directory"
        )
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    return directory


def remove_socket_directory(directory: Path) -> None:
    """Remove what :func:`socket_directory` made. Harmless when it is gone."""
    shutil.rmtree(directory, ignore_errors=True)
