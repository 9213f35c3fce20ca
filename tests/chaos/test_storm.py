"""Callers are killed with -9 in the middle of a thousand calls: one reap later nothing is left."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from tests.support.probes.running import Identity, identities, place, run_as


@pytest.mark.timeout(150)
@pytest.mark.parametrize("identity", identities())
def test_killed_callers_leave_nothing_behind_after_one_reap(
    identity: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    with place(identity) as home:
        (home / "tmp").mkdir(mode=0o777)
        (home / "tmp").chmod(0o777)
        process = run_as(
            identity, "-m", "tests.chaos.storm", str(home), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(home / "tmp"), "HOME": str(home)},
        )  # fmt: skip
        said, complaints = process.communicate(timeout=140)
    assert process.returncode == 0, complaints.decode(errors="replace")
    report = json.loads(said)
    with capsys.disabled():
        print(f"\n{identity}: {report}")
    assert report["left"] == []
    assert report["bystanders_hurt"] == []
    assert report["started"] >= 1000
    assert report["kills"] >= 10
    assert report["reap_seconds"] < 1.0
