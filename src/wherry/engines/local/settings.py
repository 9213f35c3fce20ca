"""What the local engine needs to know of its place, before any function is known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import EngineUnavailable

SANDBOX_ID = 2_000_000_000
"""Host uid and gid of what root runs: above every range that accounts, services and
subordinate ids are taken from, so nothing on the host belongs to it."""

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Limits of a call that names none; enforced as well as the machine allows."""

    memory: int
    """Bytes."""
    tmp: int
    """Bytes."""
    pids: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """Where the engine keeps its data, and who its sandboxes are on the host."""

    data: Path
    sandbox: tuple[int, int] | None = None
    """Host uid and gid to run as; None: whoever we are, which must not be root."""
    insecure_registries: tuple[str, ...] = ()
    defaults: Defaults | None = None
    compiled_launcher: bool = True
    """Use the compiled launcher where there is one; else the same steps are done in Python."""

    @property
    def images(self) -> Path:
        """The image store."""
        return self.data / "images"

    @property
    def scratch(self) -> Path:
        """An empty directory, on which every sandbox mounts a file system only it sees."""
        return self.data / "scratch"

    def check_sandbox(self) -> None:
        """Raise :class:`EngineUnavailable` when sandboxes would be root on the host."""
        uid, gid = self.sandbox or (os.geteuid(), None)
        if 0 in (uid, gid):
            raise EngineUnavailable(
                f"settings.sandbox = {self.sandbox!r} makes sandboxes root on this machine; give "
                f"them an unprivileged uid and gid, such as {(SANDBOX_ID, SANDBOX_ID)}"
            )

    def make_directories(self) -> None:
        """Make what is missing; as root, enterable by the sandbox user and no other."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            if self.sandbox is not None:
                os.chown(self.data, 0, self.sandbox[1])
            self.data.chmod(0o710 if self.sandbox else 0o700)
            self.scratch.mkdir(exist_ok=True)
            self.scratch.chmod(0o755)
        except OSError as error:
            raise EngineUnavailable(
                f"cannot use the data directory {self.data}: {error.strerror}; "
                "choose another with --data-dir or WHERRY_DATA_DIR"
            ) from error
        if self.sandbox is not None:
            self._check_enterable()

    def _check_enterable(self) -> None:
        for parent in self.data.resolve().parents:
            if not parent.stat().st_mode & 0o001:
                raise EngineUnavailable(
                    f"the data directory {self.data} lies below {parent}, which the sandbox "
                    f"user (uid {SANDBOX_ID}) cannot enter; choose another with --data-dir or "
                    "WHERRY_DATA_DIR (as root, /var/lib/wherry is the default)"
                )


def default_limits() -> Defaults:
    """Half of this machine's memory per call, and a quarter of it for written files."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Defaults(memory=memory // 2, tmp=min(memory // 4, 4 * GIB))
