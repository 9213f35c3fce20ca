"""Unix sockets that a server listens on: bound with a mode, in the place of one that is dead."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from wherry.errors import EngineError, UsageError

LONGEST_PATH = 107
"""Bytes: https://man7.org/linux/man-pages/man7/unix.7.html."""


def bind_unix(path: Path, *, mode: int, backlog: int, field: str = "") -> socket.socket:
    """Return a listening socket at ``path``; never is it open to more than ``mode`` says.

    A socket that nobody listens on any more is replaced. ``field`` begins every message. Raises
    :class:`UsageError` for a path that cannot be a socket, :class:`EngineError` when it cannot be
    bound.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise UsageError(
            f"{field}{path} is longer than the {LONGEST_PATH} bytes of a socket's path"
        )
    _remove_stale(path, field=field)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(bound.fileno(), mode & 0o600)  # whatever the umask lets through until then
        bound.bind(str(path))
        path.chmod(mode)
        bound.listen(backlog)
    except OSError as error:
        bound.close()
        raise EngineError(f"{field}{path} cannot be bound: {error.strerror or error}") from error
    return bound


def _remove_stale(path: Path, *, field: str) -> None:
    """Remove the socket of a server that is gone; one that answers is somebody else's."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EngineError(f"{field}{path}: {error.strerror or error}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"{field}{path} is there, and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise EngineError(f"{field}{path}: {error.strerror or error}") from error
    raise EngineError(f"{field}another server listens on {path}")
