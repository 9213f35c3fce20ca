"""The load of a node, really loaded: a control group that has used up what it may."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.require import missing, require_root

_MEASURE = """
import sys, time
from wherry.remote.cluster.load import Load
for group in sys.argv[2:]:
    with open(f"{group}/cgroup.procs", "w") as procs:
        procs.write("0")
load = Load()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
print(load.measure())
"""
_TOP = Path("/sys/fs/cgroup")


@pytest.fixture
def groups() -> Iterator[list[Path]]:
    """Make a control group that may use a twentieth of a processor."""
    require_root()
    name = f"wherry-test-{os.getpid()}-{uuid.uuid4()}"
    made: list[Path] = []
    try:
        if (_TOP / "cpu/cpu.cfs_quota_us").exists() or (_TOP / "cpu/cpu.shares").exists():
            made = [_TOP / "cpu" / name, _TOP / "cpuacct" / name]
            for group in made:
                group.mkdir(exist_ok=True)
            (made[0] / "cpu.cfs_period_us").write_text("100000")
            (made[0] / "cpu.cfs_quota_us").write_text("5000")
        elif "cpu" in (_TOP / "cgroup.subtree_control").read_text().split():
            made = [_TOP / name]
            made[0].mkdir()
            (made[0] / "cpu.max").write_text("5000 100000")
        else:
            missing("a control group with a limit of processors")
        yield made
    finally:
        for group in made:
            group.rmdir()


def measured(seconds: float, groups: list[Path]) -> float:
    words = [sys.executable, "-c", _MEASURE, str(seconds), *map(str, groups)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)


def memory() -> float:
    """Return the fraction of this machine's memory that is in use."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 1 - free / total


def test_a_program_that_uses_up_its_quota_is_a_load_where_the_machine_is_idle(
    groups: list[Path],
) -> None:
    # What it may use is a fortieth of this machine, and it uses all of it.
    assert measured(0.5, groups) >= 0.6 * memory()
