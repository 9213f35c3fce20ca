"""What a test run that was killed leaves is removed by the next one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.dockerd import remove_leftovers

GONE = 2**31 - 1
"""A pid that nothing has: the kernel's largest is 2**22."""


def test_control_groups_of_dead_runs_are_removed_and_no_others(tmp_path: Path) -> None:
    stale = tmp_path / f"memory/wherry-test-{GONE}-abc"
    mine = tmp_path / f"memory/wherry-test-{os.getpid()}-abc"
    other = tmp_path / "memory/wherry-test-results"
    busy = tmp_path / f"pids/wherry-test-{GONE}-abc"
    for group in (stale / "one" / "two", mine, other, busy):
        group.mkdir(parents=True)
    (busy / "process").touch()  # as rmdir refuses a group with processes
    remove_leftovers(tmp_path)
    assert not stale.exists()
    assert mine.exists()
    assert other.exists()
    assert busy.exists()
