"""A Docker engine of our own to measure against, never the user's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Missing


@dataclass(frozen=True, slots=True)
class Docker:
    """The docker command of one engine."""

    command: tuple[str, ...]

    def run(self, *arguments: str) -> list[str]:
        """Return a ``docker run`` that is like a call: stdin fed, removed in the end."""
        return [*self.command, "run", "--rm", "-i", *arguments]

    def load(self, archive: Path, name: str) -> None:
        """Make an image of a root file system."""
        change = ["--change", 'CMD ["sh"]']
        command = [*self.command, "import", *change, str(archive), name]
        subprocess.run(command, check=True, capture_output=True)


@asynccontextmanager
async def private_engine(directory: Path) -> AsyncIterator[Docker]:
    """Start an engine in its own network namespace, with its own data, and end it again."""
    for program in ("dockerd", "docker"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed (Debian: docker.io)")
    if os.geteuid() != 0:
        raise Missing("a private Docker engine needs root")
    raise Missing(f"no way yet to start a private Docker engine in {directory}")
    yield
