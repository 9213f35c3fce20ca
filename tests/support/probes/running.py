"""Starting the battery as root and as an ordinary user, and reading what it found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from tests.support.probes.attack import Finding
from tests.support.probes.programs import compile_linker, compile_probes
from tests.support.require import missing

Identity = Literal["root", "user"]
ORDINARY = 1_234_567
"""A uid that no account and no subordinate range has."""
_ROOT = Path(__file__).parents[3]
_PATIENCE = 300


@dataclass(frozen=True)
class Findings:
    """What the battery found as one identity."""

    by_name: dict[str, Finding]
    has_groups: bool
    """Whether that identity could make control groups."""


def identities() -> list[Identity]:
    """Return as whom the battery can be run from here."""
    return ["root", "user"] if os.getuid() == 0 else ["user"]


@contextmanager
def place(identity: Identity) -> Iterator[Path]:
    """Make a directory of that identity's own, which sandboxes can enter."""
    home = Path(tempfile.mkdtemp(prefix="wherry-probes-", dir="/var/tmp"))
    home.chmod(0o755)
    if os.getuid() == 0 and identity == "user":
        os.chown(home, ORDINARY, ORDINARY)
    try:
        yield home
    finally:
        shutil.rmtree(home)


def run_as(identity: Identity, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
    """Start a Python process of this checkout as one of the identities."""
    command = [sys.executable, *arguments]
    if os.getuid() == 0 and identity == "user":
        options |= {"user": ORDINARY, "group": ORDINARY, "extra_groups": []}
        _require_readable(command)
    return subprocess.Popen(command, cwd=_ROOT, **options)  # type: ignore[call-overload,no-any-return]


def _require_readable(command: list[str]) -> None:
    look = [command[0], "-c", "import tests.support.probes.battery"]
    tried = subprocess.run(
        look, cwd=_ROOT, user=ORDINARY, group=ORDINARY, extra_groups=[], capture_output=True,
        check=False,
    )  # fmt: skip
    if tried.returncode:
        missing("a checkout and a Python that an ordinary user can read")


def find(identity: Identity) -> Findings:
    """Run the whole battery as one identity; takes some twenty seconds."""
    with place("root") as programs, place(identity) as home:
        probes, linker = compile_probes(programs), compile_linker(programs)
        arguments = ["-m", "tests.support.probes.battery", "--home", str(home)]
        arguments += ["--probes", str(probes), *(["--linker", str(linker)] if linker else [])]
        said, complaints = _communicate(identity, arguments, home)
    try:
        table = json.loads(said)
    except ValueError:
        pytest.fail(f"the battery broke as {identity}: {complaints.decode(errors='replace')}")
    found = {name: Finding(**finding) for name, finding in table["findings"].items()}
    return Findings(found, has_groups=table["memory"])


def _communicate(identity: Identity, arguments: list[str], home: Path) -> tuple[bytes, bytes]:
    """Run it with something to leak: a variable, and a descriptor that anybody inherits."""
    environment = {**os.environ, "CALLERS_VARIABLE": "leaks", "HOME": str(home)}
    leak = os.open("/etc/passwd", os.O_RDONLY)
    try:
        process = run_as(
            identity, *arguments, env=environment, pass_fds=(leak,),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(leak)
    try:
        return process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail(f"the battery took more than {_PATIENCE} s as {identity}")
