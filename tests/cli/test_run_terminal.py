"""`wherry run` at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.shell import Shell


def test_without_i_a_terminal_is_an_empty_stdin(sh: Shell) -> None:
    with Terminal(sh, "wherry run busybox wc -c") as terminal:
        assert terminal.wait() == 0
        assert terminal.shown.strip() == b"0"


def test_with_i_what_is_typed_is_read(sh: Shell) -> None:
    program = "while read line; do echo got-$line; done"
    with Terminal(sh, f"stty -echo; wherry run -i busybox sh -c '{program}'") as terminal:
        terminal.type("one\n")
        terminal.read_until("got-one")
        terminal.type("two\n")
        terminal.read_until("got-two")
        terminal.type("\x04")
        assert terminal.wait() == 0


def test_a_silent_terminal_does_not_outlive_the_program(sh: Shell) -> None:
    with Terminal(sh, "wherry run -i busybox echo done; echo code $?") as terminal:
        assert terminal.wait(timeout=15) == 0
        assert b"done" in terminal.shown
        assert b"code 0" in terminal.shown


def test_the_terminal_is_left_blocking_for_the_shell(sh: Shell) -> None:
    check = "python -c 'import os; print([os.get_blocking(fd) for fd in (0, 1, 2)])'"
    with Terminal(sh, f"wherry run -i busybox echo done; {check}") as terminal:
        terminal.wait()
        assert b"[True, True, True]" in terminal.shown


def test_output_of_both_streams_is_shown_in_order(sh: Shell) -> None:
    program = "for i in 1 2 3; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done"
    with Terminal(sh, f"wherry run busybox sh -c '{program}'") as terminal:
        terminal.wait()
        assert terminal.shown.split() == [b"out1", b"err1", b"out2", b"err2", b"out3", b"err3"]


def test_a_call_that_needs_no_pull_shows_nothing_of_its_own(sh: Shell) -> None:
    with Terminal(sh, "wherry run busybox true") as terminal:
        assert terminal.wait() == 0
        assert terminal.shown == b""
