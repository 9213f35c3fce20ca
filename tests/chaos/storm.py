"""A thousand calls whose callers are killed with -9 at any moment, then one reap.

``python -m tests.chaos.storm HOME``, as whoever the storm is about; prints a report as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.ground import Remains, engine, run, shell
from tests.support.bwrap import BWRAP

from wherry.engines.local import marker
from wherry.engines.local.settings import SANDBOX_ID

if TYPE_CHECKING:
    from wherry.engines.local.engine import LocalEngine

CALLS = 1000
WORKERS = 5
AT_ONCE = 10
_PATIENCE = 75.0
_SLEEP = ["sleep", "200"]


@dataclass
class Report:
    """What came of it."""

    started: int = 0
    ended: int = 0
    kills: int = 0
    reaped_by_callers: int = 0
    orphans_seen: int = 0
    orphans_reaped: int = 0
    cgroups_removed: int = 0
    storm_seconds: float = 0
    reap_seconds: float = 0
    left: list[str] = field(default_factory=list)
    bystanders_hurt: list[str] = field(default_factory=list)


class Callers:
    """Processes that make calls; one that is killed is replaced."""

    def __init__(self, home: Path, remains: Remains, report: Report) -> None:
        self._home = home
        self._remains = remains
        self._report = report

    async def life(self) -> None:
        """Be one caller after another, each for a random time, until there were enough calls."""
        while self._report.started < CALLS:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.chaos.worker", str(self._home), str(AT_ONCE),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            )  # fmt: skip
            self._remains.callers.add(process.pid)
            assert process.stdout is not None
            counting = asyncio.create_task(self._count(process.stdout))
            await asyncio.sleep(random.uniform(0.1, 4.0))
            process.send_signal(signal.SIGKILL)
            self._report.kills += 1
            await process.wait()
            await counting

    async def _count(self, lines: asyncio.StreamReader) -> None:
        while data := await lines.read(4096):
            self._report.started += data.count(b"s")
            self._report.ended += data.count(b"d")
            self._report.reaped_by_callers += data.count(b"r")


@contextmanager
def bystanders(report: Report) -> Iterator[None]:
    """Run what is nobody's business: a sandbox, a process, a group; say if it was touched."""
    sandbox = [BWRAP, "--ro-bind", "/", "/", "--unshare-pid", "--die-with-parent", *_SLEEP]
    processes = {"a bubblewrap": _start(sandbox), "a process": _start(_SLEEP)}
    if os.getuid() == 0:
        processes["a process of the sandbox's uid"] = _start(_SLEEP, uid=SANDBOX_ID)
    group = _make_group()
    try:
        yield
        report.bystanders_hurt += [n for n, one in processes.items() if one.poll() is not None]
        if group is not None and not group.is_dir():
            report.bystanders_hurt.append("a control group")
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        if group is not None:
            group.rmdir()


def _start(command: list[str], *, uid: int | None = None) -> subprocess.Popen[bytes]:
    groups: list[int] | None = None if uid is None else []
    return subprocess.Popen(
        command, user=uid, group=uid, extra_groups=groups, stdout=subprocess.DEVNULL
    )


def _make_group() -> Path | None:
    for top in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        group = Path(top, f"bystander-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        return group
    return None


async def storm(home: Path) -> Report:
    """Make the storm, then look at what is left after one reap."""
    report = Report()
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)
    callers = Callers(home, remains, report)
    with bystanders(report):
        begun = time.perf_counter()
        async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(callers.life())
        report.storm_seconds = time.perf_counter() - begun
        _reap(on, remains, report)
        report.left = remains.find(on)
    await on.aclose()
    return report


def _reap(on: LocalEngine, remains: Remains, report: Report) -> None:
    report.orphans_seen = len(
        {one.marker.id for one in marker.sightings() if one.marker.owner.pid in remains.callers}
    )
    begun = time.perf_counter()
    reaped = on.reap()
    report.reap_seconds = time.perf_counter() - begun
    report.orphans_reaped = len(reaped.containers)
    report.cgroups_removed = reaped.cgroups


if __name__ == "__main__":
    json.dump(asdict(asyncio.run(storm(Path(sys.argv[1])))), sys.stdout)
