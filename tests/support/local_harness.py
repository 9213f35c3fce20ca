"""The local engine, ready for the contract."""

from __future__ import annotations

import io
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.busybox import rootfs_tar
from tests.support.harness import Harness

from wherry.engines.local.engine import LocalEngine
from wherry.engines.local.settings import SANDBOX_ID, LocalSettings
from wherry.models import Function

if TYPE_CHECKING:
    import pytest

    from wherry.engines.base import Container
    from wherry.engines.local import reaping


@contextmanager
def data_directory() -> Iterator[Path]:
    """Make a data directory that the sandbox user can reach too; pytest's own is private."""
    path = Path(tempfile.mkdtemp(prefix="wherry-test-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield path / "data"
    finally:
        shutil.rmtree(path)


def local_settings(data: Path) -> LocalSettings:
    """Return settings for whoever we are."""
    return LocalSettings(data=data, sandbox=(SANDBOX_ID, SANDBOX_ID) if os.getuid() == 0 else None)


def local_engine(data: Path) -> LocalEngine:
    """Return a local engine that has the image ``busybox``."""
    from wherry.images.rootfs_import import import_rootfs

    engine = LocalEngine(local_settings(data))
    import_rootfs(engine.store, io.BytesIO(rootfs_tar()), reference="busybox")
    return engine


def of_this_engine(engine: LocalEngine) -> list[reaping.Running]:
    """Return the containers that this test process called and that still run."""
    return [found for found in engine.running() if found.marker.owner.pid == os.getpid()]


@asynccontextmanager
async def local_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    with data_directory() as data:
        engine = local_engine(data)
        # What the first call of all makes is there to stay: directories, a bubblewrap to share.
        await engine.prepare(Function(name="first", image="busybox"))
        yield harness_of(engine, data)
        await engine.aclose()


def harness_of(engine: LocalEngine, data: Path) -> Harness:
    files = _files(data)
    descriptors = _descriptors()

    async def leftovers() -> list[str]:
        await engine.settled()
        left = [f"container {found.marker.id}" for found in of_this_engine(engine)]
        left += [f"cgroup {name}" for name in _cgroups(engine)]
        left += [f"file {name}" for name in sorted(_files(data) - files)]
        return left + [f"descriptor {name}" for name in _descriptors() - descriptors]

    async def ids() -> set[str]:
        await engine.settled()
        return {found.marker.id for found in of_this_engine(engine)}

    async def cut(container: Container) -> None:
        for found in of_this_engine(engine):
            if found.marker.id == container.id:
                os.kill(found.pids[0], signal.SIGKILL)

    def unavailable() -> LocalEngine:
        return LocalEngine(LocalSettings(data=Path("/proc/nowhere")))

    memory = engine.cgroups.support.memory
    return Harness(
        name="local",
        engine=engine,
        leftovers=leftovers,
        ids=ids,
        cut=cut,
        unavailable=unavailable,
        cannot_tell_oom=None if memory else engine.cgroups.support.reason,
        patience=60.0,
        in_flight=1024 * 1024,
    )


def _cgroups(engine: LocalEngine) -> list[str]:
    return [group.name for group in engine.cgroups.find(f"{os.getpid()}-")]


def _files(data: Path) -> set[str]:
    return {str(path) for path in data.rglob("*") if "/rootfs/" not in str(path)}


def _descriptors() -> set[str]:
    """Pipes and process descriptors of this process, by what they refer to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(("pipe:", "anon_inode:[pidfd]", "/memfd:")):
            found.add(target)
    return found
