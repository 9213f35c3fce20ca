"""A process that waits, under a command line of the test's choice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
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
