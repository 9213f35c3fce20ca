"""Signals to a container of another process, which only its marker leads to."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local import marker, reaping

if TYPE_CHECKING:
    from wherry.engines.local.reaping import Running

_ENDING = 5.0
"""Seconds that a killed program gets to take its sandbox with it."""


def send(container: Running, number: int) -> bool:
    """Send a signal to a container's program; False when it has not started or has ended."""
    init = _init_of(container)
    if init is None:
        return False
    for pid in _children(init):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            # Only now that the descriptor holds the process is it certain whose child it is.
            if pid in _children(init):
                signal.pidfd_send_signal(fd, number)
                return True
        except ProcessLookupError:
            continue
        finally:
            os.close(fd)
    return False


def kill(container: Running) -> bool:
    """Kill a container's program, so that its caller learns how it ended; then all that is left.

    False when something would not end.
    """
    outermost = container.pids[0]
    try:
        fd = os.pidfd_open(outermost)
    except ProcessLookupError:
        return True
    try:
        if send(container, signal.SIGKILL) and select.select([fd], [], [], _ENDING)[0]:
            return True
    finally:
        os.close(fd)
    return reaping.end(container)


def _init_of(container: Running) -> int | None:
    """Return the sandbox's pid 1: the last process that carries the marker."""
    found = None
    for pid in container.pids:
        seen = marker.marker_of(pid)
        if seen is not None and seen.id == container.marker.id and _is_first_in_sandbox(pid):
            found = pid
    return found


def _is_first_in_sandbox(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    inside = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    return len(inside.split()) > 2 and inside.split()[-1] == "1"


def _children(pid: int) -> list[int]:
    """Return the program of an init, the first child it had."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in words[:1]]
