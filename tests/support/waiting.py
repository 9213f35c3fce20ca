"""Waiting for what another process does soon, and processes that wait."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def waiting_process(name: str, *words: str) -> Iterator[int]:
    """Run a shell that waits for its stdin: ``NAME -c "read line" WORD…``."""
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, read, 0)]
    argv = [name, "-c", "read line", *words]
    pid = os.posix_spawn("/bin/sh", argv, {}, file_actions=actions)
    os.close(read)
    try:
        yield pid
    finally:
        os.close(write)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def wait_until(true: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for what another process does soon; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.002)
