"""Schedules of a real `wherry serve`, by its command; a kill -9 in the middle of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.serve_process import WHERRY, Served, serving

pytestmark = pytest.mark.timeout(90)


def wherry(served: Served, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [*WHERRY, *words], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "WHERRY_GATEWAY": served.url},
    )  # fmt: skip
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout


def history(served: Served, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(wherry(served, "schedule", "history", name, "--json"))
    return found


def until(served: Served, name: str, *, count: int) -> list[dict[str, Any]]:
    """Wait until so many runs have ended."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        runs = [run for run in history(served, name) if run["status"] not in ("waiting", "running")]
        if len(runs) >= count:
            return runs
    raise AssertionError(history(served, name))


def test_a_schedule_of_every_second_runs_in_time_and_its_output_is_kept(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth") as served:
        add = ["schedule", "add", "tick", "* * * * * *", "--image", "busybox"]
        assert wherry(served, *add, "--", "sh", "-c", "echo out; echo err >&2") == "tick\n"
        runs = until(served, "tick", count=3)
        assert {run["status"] for run in runs} == {"succeeded"}
        scheduled = [run["scheduledAt"] for run in runs]
        assert len(set(scheduled)) == len(scheduled)
        assert all(at.endswith(":00Z") or "." not in at for at in scheduled)
        assert wherry(served, "schedule", "history", "tick", runs[0]["id"]) == "out\n"
        wherry(served, "schedule", "pause", "tick")
        (shown,) = json.loads(wherry(served, "schedule", "ls", "--json"))
        assert (shown["paused"], "nextAt" in shown) == (True, False)
        wherry(served, "schedule", "rm", "tick")
        assert wherry(served, "schedule", "ls", "-q") == ""
        wherry(served, "schedule", "run", "tick", code=2)


def test_ofelias_file_is_followed_and_programs_of_this_machine_need_leave(tmp_path: Path) -> None:
    file = tmp_path / "jobs.ini"
    file.write_text(f'[job-local "here"]\nschedule=@yearly\ncommand=sh -c "cat {file} | wc -l"\n')
    with serving(tmp_path / "a", "--no-auth", "--ofelia", str(file)) as served:
        assert wherry(served, "schedule", "ls", "-q") == ""
        done = subprocess.run(
            [*WHERRY, "schedule", "ls"], capture_output=True, text=True, timeout=60, check=True,
            env={**os.environ, "WHERRY_GATEWAY": served.url},
        )  # fmt: skip
        assert "--schedule-local" in done.stderr
    options = ("--no-auth", "--ofelia", str(file), "--schedule-local")
    with serving(tmp_path / "b", *options) as served:
        assert wherry(served, "schedule", "run", "--wait", "here") == "3\n"
        with file.open("a") as added:
            added.write('[job-local "there"]\nschedule=@yearly\ncommand=sh -c "exit 9"\n')
        deadline = time.monotonic() + 20
        while "there" not in wherry(served, "schedule", "ls", "-q"):
            assert time.monotonic() < deadline
        wherry(served, "schedule", "run", "--wait", "there", code=9)
        wherry(served, "schedule", "rm", "there", code=2)


def test_a_run_that_a_kill_9_cut_short_is_failed_and_its_tick_is_not_run_again(
    tmp_path: Path,
) -> None:
    marks = tmp_path / "marks"
    marks.touch()
    data = tmp_path / "data"
    script = f"echo x >> {marks}; exec sleep 600"
    with pytest.raises(AssertionError), serving(data, "--no-auth", "--schedule-local") as served:  # noqa: PT012
        wherry(
            served, "schedule", "add", "slow", "* * * * * *", "--local", "--", "sh", "-c", script
        )
        deadline = time.monotonic() + 30
        while not marks.read_text():
            assert time.monotonic() < deadline
        sleeping = _child_of(served.process.pid)
        wherry(served, "schedule", "pause", "slow")
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait(20)
    os.kill(sleeping, signal.SIGKILL)
    with serving(data, "--no-auth", "--schedule-local") as served:
        runs = history(served, "slow")
        (cut,) = [run for run in runs if run["status"] == "failed"]
        assert cut["error"] == "the scheduler was killed before this run had ended"
        assert {run["status"] for run in runs} <= {"failed", "skipped"}
        assert marks.read_text() == "x\n"


def _child_of(pid: int) -> int:
    (child, *_) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_what_declares_schedules_is_checked_without_a_gateway(tmp_path: Path) -> None:
    served = Served("http://127.0.0.1:1", None, tmp_path)  # type: ignore[arg-type]
    (tmp_path / "w.toml").write_text('[schedules.a]\nschedule = "@daily"\nfunction = "f"\n')
    assert "a     @daily  function" in wherry(served, "schedule", "validate", f"{tmp_path}/w.toml")
    (tmp_path / "w.toml").write_text('[schedules.a]\nschedule = "0 25 * * *"\nfunction = "f"\n')
    wherry(served, "schedule", "validate", f"{tmp_path}/w.toml", code=1)
    found = wherry(
        served, "schedule", "next", "--spec", "30 2 * * *", "--timezone", "Europe/Paris",
        "--after", "2026-10-24T12:00", "-c", "2",
    )  # fmt: skip
    assert found.split() == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    wherry(served, "schedule", "next", code=2)
    wherry(served, "schedule", "add", "x", "@daily", code=2)


def test_a_server_that_stops_lets_runs_end_and_then_ends_them(tmp_path: Path) -> None:
    done, data = tmp_path / "done", tmp_path / "data"
    with serving(data, "--no-auth", "--schedule-local") as served:
        for name, script in (("short", f"sleep 1; touch {done}"), ("long", "sleep 600")):
            wherry(served, "schedule", "add", name, "@yearly", "--local", "--", "sh", "-c", script)
            wherry(served, "schedule", "run", name)
    assert done.exists()
    with serving(data, "--no-auth", "--schedule-local") as served:
        (short,), (long,) = history(served, "short"), history(served, "long")
        assert short["status"] == "succeeded"
        assert (long["status"], long["error"]) == ("failed", "it was stopped")
