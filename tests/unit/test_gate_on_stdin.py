"""The gate that reads its call from stdin, fed with calls and with anything else."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.require import missing, require
from tests.support.waiting import wait_until

from wherry.engines.gate import GATE, call_frame, has_gate

ENV = {"PATH": "/usr/bin:/bin", "KEPT": "own", "OVER": "own"}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    if not has_gate():
        missing("the compiled gate")


SECRET = bytes(range(100, 116))
BEGINNING = b"\xc1" + SECRET


def frame_of(*argv: str, env: Mapping[str, str] | None = None, has_stdin: bool = True) -> bytes:
    return call_frame(argv, env or {}, has_stdin=has_stdin, secret=SECRET)


@dataclass(frozen=True)
class Fed:
    """What became of a gate: without its last words, which are the same on both streams."""

    out: bytes
    err: bytes
    said: bytes | None
    """Its last words, but for what they begin with."""
    code: int


def fed(data: bytes, env: Mapping[str, str] = ENV) -> Fed:
    # Not by its path: a gate removes the file it was executed from.
    done = subprocess.run(
        ["gate", "-"],
        executable=GATE,
        input=data,
        capture_output=True,
        env=env,
        timeout=10,
        check=False,
    )
    return end_of(done)


def end_of(done: subprocess.CompletedProcess[bytes]) -> Fed:
    out, found, said = done.stdout.partition(BEGINNING)
    err, found_too, said_too = done.stderr.partition(BEGINNING)
    assert (found, said) == (found_too, said_too)
    return Fed(out, err, said if found else None, done.returncode)


def test_what_follows_the_call_is_the_programs_own_input() -> None:
    assert fed(frame_of("cat") + b"left").out == b"left"
    assert fed(frame_of("cat")).out == b""


def test_without_input_stdin_is_dev_null() -> None:
    assert fed(frame_of("readlink", "/proc/self/fd/0", has_stdin=False)).out == b"/dev/null\n"


def test_the_calls_environment_is_laid_over_the_gates_own() -> None:
    env = {"OVER": "call", "NEW": "a=b\n", "KEP": "", "KEPTT": "x"}
    seen = fed(frame_of("env", "-0", env=env, has_stdin=False)).out.split(b"\0")
    assert sorted(filter(None, seen)) == [
        b"KEP=", b"KEPT=own", b"KEPTT=x", b"NEW=a=b\n", b"OVER=call", b"PATH=/usr/bin:/bin",
    ]  # fmt: skip


def test_the_file_it_was_executed_from_is_removed(tmp_path: Path) -> None:
    copy = tmp_path / "gate"
    shutil.copy(GATE, copy)
    frame = frame_of("echo", "on", has_stdin=False)
    result = subprocess.run([copy, "-"], input=frame, capture_output=True, env=ENV, check=False)
    assert end_of(result).out == b"on\n"
    assert not copy.exists()


@pytest.mark.parametrize("code", [0, 1, 7, 125, 126, 127])
def test_an_exit_code_is_told_at_the_end_of_both_streams(code: int) -> None:
    script = f"printf out; printf err >&2; exit {code}"
    assert fed(frame_of("sh", "-c", script)) == Fed(b"out", b"err", b"X%c\0" % code, code)


@pytest.mark.parametrize("code", [128, 137, 143, 255])
def test_a_code_that_may_mean_a_signal_is_left_to_the_engine(code: int) -> None:
    assert fed(frame_of("sh", "-c", f"printf out; exit {code}")) == Fed(b"out", b"", None, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_death_by_a_signal_is_left_to_the_engine(number: int) -> None:
    script = f"printf out; kill -{number:d} $$"
    assert fed(frame_of("sh", "-c", script)) == Fed(b"out", b"", None, 128 + number)


@pytest.mark.parametrize(
    ("program", "code", "said"), [("no-such", 127, b"E\2\0"), ("/etc", 126, b"E\x0d\0")]
)
def test_a_program_that_cannot_be_executed_is_told_by_its_errno(
    program: str, code: int, said: bytes
) -> None:
    assert fed(frame_of(program)) == Fed(b"", b"", said, code)


def test_nothing_of_the_secret_reaches_the_program() -> None:
    script = "cat /proc/self/environ /proc/self/cmdline; cat"
    assert SECRET not in fed(frame_of("sh", "-c", script) + b"rest").out


def test_a_program_of_the_same_user_cannot_read_the_gates_memory() -> None:
    """Whoever has the capability to trace anything can; no container has it."""
    script = "for name in maps mem environ fd/1; do head -c 1 /proc/$PPID/$name; done"
    frame = frame_of("sh", "-c", script)
    # The file a gate is executed from is removed by its path only, which this is not.
    command = ["/proc/self/fd/{}", "-"]
    if os.geteuid() == 0:
        command = [require("setpriv"), "--bounding-set=-all", "--inh-caps=-all", *command]
    with GATE.open("rb") as gate:
        done = subprocess.run(
            [word.format(gate.fileno()) for word in command], pass_fds=[gate.fileno()],
            input=frame, capture_output=True, env=ENV, check=False, timeout=10,
        )  # fmt: skip
    result = end_of(done)
    assert (result.out, result.said) == (b"", b"X\1\0")
    assert result.err.lower().count(b"permission denied") == 4


@contextmanager
def running(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a gate whose program has said a line."""
    with subprocess.Popen(
        ["gate", "-"], executable=GATE, env=ENV, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as gate:  # fmt: skip
        try:
            assert gate.stdin
            assert gate.stdout
            gate.stdin.write(frame_of(*argv))
            gate.stdin.flush()
            assert gate.stdout.readline()
            yield gate
        finally:
            gate.kill()


CATCHABLE = sorted(
    set(signal.valid_signals())
    - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP}
    - {signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG, signal.SIGWINCH}
)
TRAPS = r"""
import os, signal, sys
def told(number, frame):
    os.write(1, b"%d\n" % number)
for number in map(int, sys.argv[1:]):
    signal.signal(number, told)
os.write(1, b"ready\n")
while True:
    signal.pause()
"""


def test_every_signal_is_passed_on_and_can_be_survived() -> None:
    with running(sys.executable, "-Sc", TRAPS, *(f"{number:d}" for number in CATCHABLE)) as gate:
        assert gate.stdout
        for number in CATCHABLE:
            gate.send_signal(number)
            assert gate.stdout.readline() == b"%d\n" % number


def test_a_stopped_program_goes_on() -> None:
    script = "echo ready; while read line; do echo $line; done; exit 3"
    with running("sh", "-c", script) as gate:
        assert gate.stdin
        assert gate.stdout
        (child,) = Path(f"/proc/{gate.pid}/task/{gate.pid}/children").read_text().split()
        gate.send_signal(signal.SIGTSTP)
        stat = Path(f"/proc/{child}/stat")
        wait_until(lambda: ") T " in stat.read_text())
        gate.send_signal(signal.SIGCONT)
        gate.stdin.write(b"on\n")
        gate.stdin.close()
        gate.stdin = None
        assert gate.stdout.readline() == b"on\n"
        assert end_of(subprocess.CompletedProcess([], gate.wait(10), *gate.communicate())) == Fed(
            b"", b"", b"X\3\0", 3
        )


def has_blocked(pid: int) -> bool:
    return "SigBlk:\t0" not in Path(f"/proc/{pid}/status").read_text()


def test_a_gate_that_waits_ends_by_a_signal() -> None:
    """As pid 1 it would get none without being ready for it."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGRTMIN + 3):
        with subprocess.Popen(["gate", "-"], executable=GATE, stdin=subprocess.PIPE) as gate:
            wait_until(partial(has_blocked, gate.pid))
            gate.send_signal(signal.SIGWINCH)
            gate.send_signal(number)
            assert gate.wait(10) == 128 + number


def test_the_program_has_a_process_group_of_its_own_and_the_signals_it_would_have() -> None:
    script = "cut -d ' ' -f 1,5 /proc/self/stat; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"
    identity, *signals = fed(frame_of("sh", "-c", f"exec 2>&1; {script}")).out.splitlines()
    assert len(identity.split()) == 2
    plain = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env=ENV)
    assert signals == plain.stdout.splitlines()[1:]
    pid, group, _ = fed(frame_of("sh", "-c", "echo $$; cut -d ' ' -f 5 /proc/$$/stat")).out.split(
        b"\n"
    )
    assert pid == group


def as_init(script: str) -> Fed:
    """Run a gate as the first process of a pid namespace of its own."""
    words = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with GATE.open("rb") as gate:
        command = [require("unshare"), *words, f"/proc/self/fd/{gate.fileno()}", "-"]
        done = subprocess.run(
            command, pass_fds=[gate.fileno()], input=frame_of("sh", "-c", script),
            capture_output=True, env=ENV, timeout=20, check=False,
        )  # fmt: skip
    return end_of(done)


def test_orphans_are_reaped() -> None:
    script = "(sleep 0.01 & echo $! >&3) 3>&1 | { read pid; while [ -e /proc/$pid ]; do :; done; }"
    assert as_init(f"{script}; echo reaped; exit 4") == Fed(b"reaped\n", b"", b"X\4\0", 4)


def test_what_outlives_the_program_is_ended_and_writes_nothing_after_the_last_words() -> None:
    flood = "setsid sh -c 'trap \"\" TERM HUP INT; while :; do echo x; done'"
    result = as_init(f"{flood} & {flood} >&2 & read line < /proc/1/cmdline; exit 5")
    assert result.said == b"X\5\0"
    assert set(result.out) | set(result.err) <= set(b"x\n")


def test_signals_of_the_container_itself_reach_everybody_but_the_init() -> None:
    assert as_init("kill -9 -1; kill -9 1; echo on; exit 6").said == b"X\6\0"


WORDS = st.binary(max_size=40).map(lambda word: word.replace(b"\0", b""))


@settings(max_examples=60, deadline=None)
@given(arguments=st.lists(WORDS, max_size=30), values=st.lists(WORDS, max_size=30))
def test_every_word_arrives_as_it_was(arguments: list[bytes], values: list[bytes]) -> None:
    argv = ["printf", r"%s\n", "", *map(os.fsdecode, arguments)]
    env = {f"V{number}": os.fsdecode(value) for number, value in enumerate(values)}
    assert fed(frame_of(*argv, env=env)).out == b"".join(word + b"\n" for word in [b"", *arguments])
    seen = set(fed(frame_of("env", "-0", env=env)).out.split(b"\0"))
    assert {b"V%d=%s" % pair for pair in enumerate(values)} <= seen


@settings(max_examples=100, deadline=None)
@given(
    header=st.lists(
        st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)), min_size=4, max_size=4
    ),
    rest=st.binary(max_size=60),
    end=st.integers(0, 92),
)
def test_what_is_no_call_executes_nothing_and_ends(
    header: list[int], rest: bytes, end: int
) -> None:
    """An absolute path is no part of what is sent, and PATH has no such names."""
    data = struct.pack("<4I", *header) + SECRET + rest.replace(b"/", b".")
    result = fed(data[:end], env={"PATH": "/nowhere"})
    assert result.code in (125, 126, 127)
    assert (result.out, result.err) == (b"", b"")
    assert result.said is None if result.code == 125 else (result.said or b"")[:1] == b"E"
