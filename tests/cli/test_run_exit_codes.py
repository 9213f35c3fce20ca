"""The exit codes of `wherry run`, and what it says when they are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.shell import Shell


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("busybox true", 0),
        ("busybox false", 1),
        ("busybox sh -c 'exit 3'", 3),
        ("busybox sh -c 'exit 125'", 125),
        ("busybox sh -c 'exit 255'", 255),
        ("busybox sh -c 'kill -TERM $$'", 143),
        ("busybox sh -c 'kill -SEGV $$'", 139),
        ("busybox sh -c 'kill -KILL $$'", 137),
    ],
)
def test_the_exit_code_is_the_programs_own(sh: Shell, command: str, code: int) -> None:
    done = sh.run(f"wherry run {command}")
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("busybox nosuchprogram", 127, "has no program 'nosuchprogram'"),
        ("busybox /bin/nosuchprogram", 127, "has no program '/bin/nosuchprogram'"),
        ("busybox /etc/passwd", 126, "'/etc/passwd' cannot be executed"),
        ("busybox /etc", 126, "'/etc' cannot be executed"),
        ("--pull never nosuchimage true", 125, "'nosuchimage' is not on this machine"),
        ("localhost:1/x/y true", 125, "localhost:1"),
        ("--data-dir /proc/nowhere busybox true", 125, "cannot use the data directory"),
        ("Busybox true", 2, "did you mean 'busybox'"),
        ("--memroy 1g busybox true", 2, "no option '--memroy'; did you mean '--memory'?"),
        ("--memory lots busybox true", 2, "memory: 'lots' is no size"),
        ("--cpus many busybox true", 2, "--cpus: 'many' must be a number"),
        ("--pids-limit 0 busybox true", 2, "--pids-limit: '0' must be a whole number from 1"),
        ("--network bridge busybox true", 2, "network: there is no 'bridge'"),
        ("--pull sometimes busybox true", 2, "pull: there is no 'sometimes'"),
        ("-v /nosuchplace:/mnt busybox true", 2, "'/nosuchplace' does not exist"),
        ("-v nowhere busybox true", 2, "must be /host:/target"),
        ("--env-file nosuch busybox true", 2, "cannot read 'nosuch'"),
        ("--file a:b busybox true", 2, "--file: 'a:b' must be SOURCE:TARGET"),
        ("--collect out:dir busybox true", 2, "--collect: 'out:dir' must be PATH:DIR"),
        ("--secret x busybox true", 2, "--secret: 'x' must be NAME=FILE"),
        ("-u nobody-here busybox true", 2, "has no user 'nobody-here'"),
        ("--engine locla busybox true", 2, "there is no 'locla'; did you mean 'local'?"),
        ("--memory", 2, "option --memory needs a value: SIZE"),
        ("", 2, "IMAGE is missing"),
        ("-it busybox sh", 2, "-t: a terminal inside the container is not supported yet"),
        ("-d busybox true", 2, "-d: a call does not outlive its command"),
        ("-p 80:80 busybox true", 2, "-p: a function has no ports"),
    ],
)
def test_what_cannot_be_run_is_told_with_its_own_exit_code(
    sh: Shell, command: str, code: int, says: str
) -> None:
    done = sh.run(f"wherry run {command}")
    assert says in done.stderr.decode()
    assert done.stderr.startswith(b"wherry run: ")
    assert (done.returncode, done.stdout) == (code, b"")


def test_a_timeout_keeps_what_was_written_and_is_told(sh: Shell) -> None:
    done = sh.run("wherry run --timeout 500ms busybox sh -c 'echo partial; sleep 60'")
    assert (done.returncode, done.stdout) == (124, b"partial\n")
    assert done.stderr == b"wherry run: busybox was ended by its timeout\n"
    quiet = sh.run("wherry run -q --timeout 500ms busybox sleep 60")
    assert (quiet.returncode, quiet.stderr) == (124, b"")


def test_more_stdout_than_allowed_ends_the_call(sh: Shell) -> None:
    done = sh.run("wherry run --stdout-limit 100 --name talker busybox yes")
    assert done.stdout == b"y\n" * 50
    assert done.stderr == b"wherry run: talker was ended for writing more than its output limit\n"
    assert done.returncode == 137


def test_more_memory_than_allowed_is_told_as_such(sh: Shell) -> None:
    program = 'x=$(head -c 200m /dev/zero | tr "\\0" x)'
    done = sh.run(f"wherry run -m 30m busybox sh -c '{program}'")
    if sh.uid != 0 and done.returncode == 2:  # a user whom nobody has delegated a cgroup to
        assert b"limits.memory = 31457280 cannot be enforced here" in done.stderr
        return
    assert done.returncode == 137
    assert b"was killed for using more than its memory limit" in done.stderr


def test_a_mistake_of_ours_is_not_taken_for_the_functions_exit(sh: Shell) -> None:
    script = (
        "import sys, wherry.cli, wherry.cli.program as p;"
        "p.dispatch = lambda words: 1 / 0;"
        "sys.exit(wherry.cli.main(['run']))"
    )
    done = sh.run(f'python -c "{script}"')
    assert done.returncode == 125
    assert b"a mistake in wherry itself" in done.stderr
    assert b"ZeroDivisionError" in done.stderr
