"""stdin, stdout and stderr of `wherry run` in a shell: byte for byte, live, and apart."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.shell import Shell

MIB = 1 << 20


def test_a_pipe_goes_through_an_image(sh: Shell) -> None:
    assert sh.out("echo hello | wherry run busybox tr a-z A-Z") == "HELLO\n"


def test_images_in_a_row_make_a_pipeline(sh: Shell) -> None:
    script = r"printf 'b\na\nb\n' | wherry run busybox sort | wherry run busybox uniq -c"
    assert sh.out(script).split() == ["1", "a", "2", "b"]


def test_stdout_and_stderr_stay_apart(sh: Shell) -> None:
    done = sh.run("wherry run busybox sh -c 'echo out; echo err >&2; echo out'")
    assert (done.stdout, done.stderr) == (b"out\nout\n", b"err\n")


def test_no_byte_is_changed(sh: Shell) -> None:
    data = bytes(range(256)) * 3 + b"\r\n\x00 no newline at the end"
    assert sh.run("wherry run busybox cat", stdin=data).stdout == data


def test_output_comes_live_and_in_order(sh: Shell) -> None:
    script = "echo one; echo two >&2; read line; echo got $line; echo three >&2"
    run = sh.start(
        f"wherry run busybox sh -c '{script}' 2>&1",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with run:
        assert run.stdin
        assert run.stdout
        assert {run.stdout.readline(), run.stdout.readline()} == {b"one\n", b"two\n"}
        run.stdin.write(b"input\n")
        run.stdin.flush()
        assert {run.stdout.readline(), run.stdout.readline()} == {b"got input\n", b"three\n"}
    assert run.returncode == 0


def test_output_goes_on_after_the_end_of_stdin(sh: Shell) -> None:
    script = "cat; echo after the end"
    assert sh.out(f"echo data | wherry run busybox sh -c '{script}'") == "data\nafter the end\n"


def test_a_hundred_megabytes_go_through_unchanged(sh: Shell) -> None:
    script = (
        "head -c 100000000 /dev/urandom | tee >(sha256sum >&2) | wherry run busybox cat | sha256sum"
    )
    done = sh.run(script, timeout=100)
    assert done.stdout == done.stderr != b""


def test_a_large_file_as_stdin_and_one_as_stdout(sh: Shell) -> None:
    data = os.urandom(8 * MIB)
    sh.file("large", data)
    sh.out("wherry run busybox cat < large > copy")
    assert (sh.home / "copy").read_bytes() == data


def test_output_is_appended_to_a_file_opened_for_that(sh: Shell) -> None:
    sh.out("echo before > log; wherry run busybox echo inside >> log; echo after >> log")
    assert (sh.home / "log").read_text() == "before\ninside\nafter\n"


def test_stdin_of_dev_null_is_empty(sh: Shell) -> None:
    assert sh.out("wherry run busybox wc -c < /dev/null").strip() == "0"


def test_a_closed_stdin_is_empty(sh: Shell) -> None:
    assert sh.out("wherry run busybox wc -c <&-").strip() == "0"


def test_a_closed_stdout_fails_only_what_writes_to_it(sh: Shell) -> None:
    silent = sh.run("wherry run busybox true >&-")
    assert (silent.returncode, silent.stderr) == (0, b"")
    loud = sh.run("wherry run busybox echo lost >&-")
    assert loud.returncode == 125
    assert b"stdout cannot be written: Bad file descriptor" in loud.stderr


def test_a_closed_stderr_changes_nothing(sh: Shell) -> None:
    done = sh.run("wherry run busybox sh -c 'echo err >&2; echo out; exit 4' 2>&-")
    assert (done.returncode, done.stdout) == (4, b"out\n")


def test_all_three_closed(sh: Shell) -> None:
    assert sh.run("wherry run busybox sh -c 'exit 6' <&- >&- 2>&-").returncode == 6


def test_a_full_disk_under_stdout_is_our_failure(sh: Shell) -> None:
    done = sh.run("wherry run busybox echo lost > /dev/full")
    assert done.returncode == 125
    assert b"No space left on device" in done.stderr


def test_a_reader_that_leaves_ends_an_endless_writer_quietly(sh: Shell) -> None:
    done = sh.run("wherry run busybox yes | head -1; echo ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == (b"y\n141\n", b"")


def test_an_endless_stdin_does_not_outlive_the_program(sh: Shell) -> None:
    done = sh.run("yes | wherry run busybox head -1; echo ${PIPESTATUS[@]}")
    assert done.stdout == b"y\n141 0\n"


def test_a_silent_stdin_does_not_outlive_the_program(sh: Shell) -> None:
    read, write = os.pipe()
    try:
        began = time.monotonic()
        assert sh.run("wherry run busybox true", stdin=read).returncode == 0
        assert time.monotonic() - began < 10
    finally:
        os.close(read)
        os.close(write)


def test_both_ways_at_once(sh: Shell) -> None:
    with sh.start("wherry run busybox cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdin
        assert run.stdout
        for turn in range(20):
            line = f"{turn}\n".encode()
            run.stdin.write(line)
            run.stdin.flush()
            assert run.stdout.readline() == line
        run.stdin.close()
    assert run.returncode == 0


def test_sockets_as_stdin_and_stdout(sh: Shell) -> None:
    data = os.urandom(3 * MIB)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run = sh.start("wherry run busybox cat", stdin=theirs, stdout=theirs)
        theirs.close()
        ours.settimeout(30)
        received = bytearray()
        with run:
            for start in range(0, len(data), 16384):
                ours.sendall(data[start : start + 16384])
                while len(received) < start:
                    received += ours.recv(65536)
            ours.shutdown(socket.SHUT_WR)
            while more := ours.recv(65536):
                received += more
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
    assert run.returncode == 0


def test_what_others_share_with_us_stays_blocking(sh: Shell) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as output, os.fdopen(write, "wb") as shared:
        run = sh.start(
            "wherry run busybox sh -c 'echo one; read line'",
            stdin=subprocess.PIPE,
            stdout=shared,
        )
        with run:
            assert output.readline() == b"one\n"
            assert not _is_non_blocking(shared)
            assert run.stdin
            assert not _is_non_blocking(run.stdin)
            run.communicate(b"end\n")
        assert not _is_non_blocking(shared)


def test_a_stdout_that_is_non_blocking_loses_nothing(sh: Shell) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with os.fdopen(read, "rb") as output:
        run = sh.start("wherry run busybox head -c 3000000 /dev/zero", stdout=write)
        os.close(write)
        with run:
            time.sleep(0.3)
            assert len(output.read()) == 3_000_000
    assert run.returncode == 0


def test_a_slow_reader_stops_the_writer(sh: Shell) -> None:
    with sh.start("wherry run busybox yes", stdout=subprocess.PIPE) as run:
        assert run.stdout
        run.stdout.read(10)
        time.sleep(0.5)
        assert _memory_kib(run.pid) < 80_000
        run.stdout.close()
    assert run.returncode == -13


def _is_non_blocking(file: IO[bytes]) -> bool:
    return bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_NONBLOCK)


def _memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
