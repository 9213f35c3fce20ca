"""`wherry ps`, `kill` and `reap` on containers that run."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.shell import Shell

WAITING = "sh -c 'echo ready; sleep 60'"


@contextmanager
def running(
    sh: Shell, options: str = "", command: str = WAITING
) -> Iterator[subprocess.Popen[bytes]]:
    with sh.start(f"wherry run {options} busybox {command}", stdout=subprocess.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        try:
            yield run
        finally:
            run.terminate()


def test_ps_shows_what_runs(sh: Shell) -> None:
    with running(sh, "--name sleeper --label team=boats") as run:
        [found] = sh.running()
        assert found["name"] == "sleeper"
        assert found["image"] == "busybox"
        assert found["labels"] == {"team": "boats"}
        assert found["caller"] == run.pid
        assert found["orphan"] is False
        lines = [line for line in sh.out("wherry ps").splitlines() if found["id"][:12] in line]
        assert lines[0].split()[:3] == [found["id"][:12], "busybox", "sleeper"]
        assert found["id"] in sh.out("wherry ps -q --no-trunc").split()


def test_kill_ends_a_container_by_the_start_of_its_id(sh: Shell) -> None:
    with running(sh) as run:
        [found] = sh.running()
        assert sh.out(f"wherry kill {found['id'][:10]}").strip() == found["id"]
        assert run.wait(timeout=10) == 137


def test_kill_sends_any_signal_to_the_program(sh: Shell) -> None:
    program = "sh -c 'trap \"echo got; exit 5\" USR1; echo ready; while :; do sleep 0.05; done'"
    with running(sh, "--name trapper", program) as run:
        sh.out("wherry kill -s usr1 trapper")
        assert run.stdout
        assert run.stdout.read() == b"got\n"
        assert run.wait(timeout=10) == 5


def test_kill_takes_processes_that_the_program_left(sh: Shell) -> None:
    program = "sh -c '(sleep 60 & ) ; echo ready; sleep 60'"
    with running(sh, "--name parent", program) as run:
        sh.out("wherry kill parent")
        assert run.wait(timeout=10) == 137
    assert sh.running() == []


def test_kill_says_what_is_not_there(sh: Shell) -> None:
    done = sh.run("wherry kill nosuch")
    assert done.returncode == 1
    assert b"no container 'nosuch' runs; `wherry ps` lists those that do" in done.stderr
    wrong = sh.run("wherry kill -s TREM x")
    assert wrong.returncode == 2
    assert b"no signal 'TREM'; did you mean 'SIGTERM'?" in wrong.stderr


def test_a_name_that_several_have_is_not_clear(sh: Shell) -> None:
    with running(sh, "--name twin"), running(sh, "--name twin"):
        done = sh.run("wherry kill twin")
        assert done.returncode == 1
        assert b"'twin' is not clear: it may be " in done.stderr


def test_reap_leaves_what_has_a_caller(sh: Shell) -> None:
    with running(sh) as run:
        [found] = sh.running()
        reaped = json.loads(sh.out("wherry reap --json"))
        assert found["id"] not in reaped["containers"]
        assert run.poll() is None


def test_an_image_in_use_stays(sh: Shell) -> None:
    sh.out("wherry image tag busybox used")
    with running(sh):
        sh.out("wherry image rm used")
        done = sh.run("wherry image rm busybox")
        assert done.returncode == 125
        assert b"in use" in done.stderr
    assert "busybox:latest" in sh.out("wherry image ls -q").split()
