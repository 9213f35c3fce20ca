"""Signals to `wherry run`: forwarded once, then enforced, and told to the shell."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.shell import Shell

STUBBORN = 'trap "echo caught" INT TERM HUP; echo ready; while :; do sleep 0.05; done'
POLITE = 'trap "echo bye; exit 7" INT TERM HUP; echo ready; while :; do sleep 0.05; done'


def test_ctrl_c_at_a_terminal_ends_the_program_and_the_command(sh: Shell) -> None:
    with Terminal(sh, "wherry run busybox sh -c 'echo ready; sleep 60'") as terminal:
        terminal.read_until("ready")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert b"Traceback" not in terminal.shown


def test_ctrl_c_stops_a_loop_of_the_shell(sh: Shell) -> None:
    script = "while :; do wherry run busybox sh -c 'echo ready; sleep 60'; echo again; done"
    with Terminal(sh, script) as terminal:
        terminal.read_until("ready")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert b"again" not in terminal.shown


def test_ctrl_c_before_the_container_runs_ends_the_command(sh: Shell) -> None:
    script = "mkfifo -m 600 fifo; wherry run --env-file fifo busybox true"
    with Terminal(sh, script) as terminal:
        time.sleep(0.5)
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert b"Traceback" not in terminal.shown
    (sh.home / "fifo").unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_pull(sh: Shell, number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as registry:
        registry.settimeout(30)
        name = f"localhost:{registry.getsockname()[1]}/slow/image"
        with sh.start(f"wherry run {name} true", stderr=subprocess.PIPE) as run:
            connection, _ = registry.accept()
            with connection:
                run.send_signal(number)
                assert run.wait(timeout=8) == -number
                assert run.stderr
                assert b"Traceback" not in run.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_program_which_may_end_as_it_likes(sh: Shell, number: int) -> None:
    with sh.start(f"wherry run busybox sh -c '{POLITE}'", stdout=subprocess.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(number)
        assert run.stdout.read() == b"bye\n"
    assert run.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_program_ends_the_command_alike(sh: Shell, number: int) -> None:
    with sh.start(
        "wherry run busybox sh -c 'echo ready; exec sleep 60'", stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(number)
    assert run.returncode == -number


def test_the_second_signal_kills_a_program_that_goes_on(sh: Shell) -> None:
    with sh.start(f"wherry run busybox sh -c '{STUBBORN}'", stdout=subprocess.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(signal.SIGTERM)
        assert run.stdout.readline() == b"caught\n"
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=8) == -signal.SIGTERM


def test_the_second_signal_ends_us_even_when_nobody_reads_our_output(sh: Shell) -> None:
    with sh.start("wherry run busybox yes", stdout=subprocess.PIPE) as run:
        assert run.stdout
        run.stdout.read(2)
        time.sleep(0.3)
        run.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=8) == -signal.SIGTERM


def test_other_signals_are_the_programs_business(sh: Shell) -> None:
    program = 'trap "echo usr1" USR1; echo ready; while :; do sleep 0.05; done'
    with sh.start(f"wherry run busybox sh -c '{program}'", stdout=subprocess.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        for _ in range(3):
            run.send_signal(signal.SIGUSR1)
            assert run.stdout.readline() == b"usr1\n"
        run.terminate()
    assert run.returncode == -signal.SIGTERM


def test_the_stop_signal_stands_for_sigterm(sh: Shell) -> None:
    program = 'trap "echo quit; exit 9" QUIT; echo ready; while :; do sleep 0.05; done'
    with sh.start(
        f"wherry run --stop-signal QUIT busybox sh -c '{program}'", stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.terminate()
        assert run.stdout.read() == b"quit\n"
    assert run.returncode == 9


def test_a_signal_that_our_caller_ignores_stays_ignored(sh: Shell) -> None:
    script = 'bash -c \'trap "" HUP; exec wherry run busybox sh -c "echo ready; cat"\''
    with sh.start(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(signal.SIGHUP)
        assert run.communicate(b"still here\n")[0] == b"still here\n"
    assert run.returncode == 0


def test_nothing_runs_a_second_after_a_kill_that_cannot_be_caught(sh: Shell) -> None:
    with sh.start("wherry run busybox sh -c 'echo ready; sleep 60'", stdout=subprocess.PIPE) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.kill()
    deadline = time.monotonic() + 5
    sh.out("wherry reap")
    while sh.running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
