"""Starting a sandbox's processes: the launcher, then bubblewrap in its place."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wherry.errors import EngineUnavailable

_NATIVE = Path(__file__).parent / "native"
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""All that can be: what our caller ignores is no concern of a container's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything the launcher is told; see ``native/launcher.c`` for what it does with it."""

    marker: str
    program: Path
    """Bubblewrap."""
    arguments: Sequence[str]
    scratch: Path
    """An empty directory to mount the sandbox's writable file system on, in its namespace."""
    tmp: int
    """Bytes that file system may hold."""
    processes: int
    data: int | None
    """Bytes of private memory per process, where no cgroup bounds it."""
    cgroups: Sequence[Path]
    """``cgroup.procs`` files to join."""
    sandbox: tuple[int, int] | None
    """Host uid and gid to become; None to stay who we are."""
    stdin: int
    stdout: int
    stderr: int
    keep: Sequence[int]
    """Further descriptors bubblewrap inherits under the same numbers."""
    compiled: bool = True
    """Use the compiled launcher, where there is one."""


@cache
def compiled_launcher() -> Path | None:
    """Return the compiled launcher, None where there was no compiler."""
    path = _NATIVE / "launcher"
    return path if os.access(path, os.X_OK) else None


def spawn(launch: Launch) -> int:
    """Start the sandbox and return the pid of its outermost process, a child of ours.

    Raises :class:`EngineUnavailable` when the launcher cannot be started, OSError (E2BIG) when
    the arguments are more than the kernel takes.
    """
    uid, gid = launch.sandbox or (-1, -1)
    arguments = [
        str(os.getpid()),
        str(uid),
        str(gid),
        str(launch.scratch),
        str(launch.tmp),
        str(launch.processes),
        "-" if launch.data is None else str(launch.data),
        "\n".join(map(str, launch.cgroups)) or "-",
        ",".join(map(str, sorted(launch.keep))) or "-",
        str(launch.program),
        *launch.arguments,
    ]
    compiled = compiled_launcher() if launch.compiled else None
    if compiled:
        path, argv = str(compiled), [launch.marker, *arguments]
    else:
        path = sys.executable
        script = str(_NATIVE / "launcher.py")
        argv = [path, "-ISB", script, launch.marker, *arguments]
    try:
        return _posix_spawn(path, argv, launch)
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise  # not the launcher's fault
        raise EngineUnavailable(f"cannot start the sandbox launcher {path}: {error}") from error


def _posix_spawn(path: str, argv: list[str], launch: Launch) -> int:
    """Spawn as glibc does best (no copy of our memory); what is not listed is close-on-exec.

    Duplicating a descriptor onto itself makes just the child's copy inheritable
    (posix_spawn_file_actions_adddup2(3), glibc 2.29 and musl), so no other thread's child
    can inherit it by accident.
    """
    streams = {0: launch.stdin, 1: launch.stdout, 2: launch.stderr}
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in streams.items()]
    actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in launch.keep]
    return os.posix_spawn(
        path,
        argv,
        {},
        file_actions=actions,
        setsigmask=[],
        setsigdef=_DEFAULT_SIGNALS,
    )
