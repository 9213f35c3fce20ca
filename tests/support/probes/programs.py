"""The programs of the battery, compiled once per test session."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.require import require

HERE = Path(__file__).parent


def compile_probes(directory: Path) -> Path:
    """Compile the probes, statically; anybody can read the result."""
    return _compile(directory / "probes", "probes.c", "-static", "-O1")


def compile_linker(directory: Path) -> Path | None:
    """Compile what poses as a dynamic linker; None for machines it is not written for."""
    if os.uname().machine != "x86_64":
        return None
    flags = ("-nostdlib", "-static-pie", "-fPIE", "-fno-stack-protector", "-Os")
    return _compile(directory / "linker", "linker.c", *flags)


def _compile(to: Path, source: str, *flags: str) -> Path:
    compiler = require("musl-gcc")
    command = [compiler, *flags, "-Wall", "-Wextra", "-Werror", "-o", str(to), str(HERE / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{source} does not compile: {done.stderr}")
    to.chmod(0o755)
    return to
