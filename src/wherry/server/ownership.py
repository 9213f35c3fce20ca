"""One server for each data directory: two would not know of each other's functions."""

from __future__ import annotations

import os
from pathlib import Path

from wherry.errors import EngineError
from wherry.images.locks import acquire


class Ownership:
    """A lock that says whose a state directory is; it ends with its process."""

    def __init__(self, state: Path) -> None:
        """Take it. Raises :class:`EngineError` that names the server that has it."""
        path = state / "server.lock"
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = acquire(path, wait=False)
        except BlockingIOError as error:
            raise EngineError(
                f"another server uses {state}{_who(path)}; stop it, or give this one its own "
                "--data-dir"
            ) from error
        except OSError as error:
            raise EngineError(f"{state} cannot be used: {error.strerror}") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give it up. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _who(path: Path) -> str:
    try:
        pid = path.read_text().strip()
    except OSError:
        return ""
    return f" (process {pid})" if pid.isdigit() else ""
