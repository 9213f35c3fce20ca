"""The real command in a real shell, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.busybox import rootfs_tar
from tests.support.require import missing, require

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 64_123
"""A user id that no account of a usual machine has."""
BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A place of its own: data, home and working directory, for one user."""

    home: Path
    uid: int

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        return {
            **kept,
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "WHERRY_DATA_DIR": str(self.home / "data"),
            "WHERRY_CONFIG_DIR": str(self.home / "config"),
        }

    def argv(self, script: str, *, shell: str = "bash") -> list[str]:
        command = [require(shell), "-c", script]
        if self.uid == os.geteuid():
            return command
        ids = ["--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"]
        return [require("setpriv"), *ids, *command]

    def run(
        self,
        script: str,
        *,
        stdin: bytes | int = b"",
        timeout: float = 60,
        shell: str = "bash",
        **environment: str,
    ) -> subprocess.CompletedProcess[bytes]:
        given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        return subprocess.run(
            self.argv(script, shell=shell),
            capture_output=True,
            cwd=self.home,
            env=self.environment | environment,
            timeout=timeout,
            check=False,
            **given,
        )

    def start(self, script: str, **pipes: Any) -> subprocess.Popen[bytes]:
        """Start a script; the caller ends it. Signals go to the command that it execs."""
        return subprocess.Popen(
            self.argv(f"exec {script}"), cwd=self.home, env=self.environment, **pipes
        )

    def out(self, script: str, **options: Any) -> str:
        """Return the stdout of a script that must succeed."""
        done = self.run(script, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def running(self) -> list[dict[str, Any]]:
        """Return what `wherry ps` lists, other people's aside, who may run tests as root too."""
        found: list[dict[str, Any]] = json.loads(self.out("wherry ps --json"))
        return [container for container in found if self._is_ours(container["pids"][0])]

    def _is_ours(self, pid: int) -> bool:
        try:
            return str(self.home) in Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:  # it has ended by now
            return False

    def file(self, name: str, data: bytes = b"", *, mode: int = 0o644) -> Path:
        """Write a file that belongs to the user."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        for made in (path, path.parent):
            os.chown(made, self.uid, -1)
        return path


@contextmanager
def shell(uid: int) -> Iterator[Shell]:
    """Make a place with the image ``busybox`` in it; what it made is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="wherry-cli-", dir="/var/tmp"))
    home.chmod(0o755)
    os.chown(home, uid, -1)
    place = Shell(home=home, uid=uid)
    try:
        if place.run(f"test -x {BIN}/wherry").returncode != 0:
            missing(f"a checkout that uid {uid} can read: {BIN}")
        imported = place.run("wherry image import --cmd sh - busybox", stdin=rootfs_tar())
        assert imported.returncode == 0, imported.stderr.decode()
        yield place
    finally:
        shutil.rmtree(home)


def users() -> list[str]:
    """Return whom a test can be: root too, when we are."""
    return ["user", "root"] if os.geteuid() == 0 else ["user"]


def uid_of(user: str) -> int:
    """Return the id for a name of :func:`users`."""
    if user == "root" or os.geteuid() != 0:
        return os.geteuid()
    known = {account.pw_uid for account in pwd.getpwall()}
    return next(uid for uid in range(NOBODY, NOBODY + 1000) if uid not in known)
