"""The gate's input, from those who mean well and those who do not."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hatch_build import FLAGS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.require import missing, require

from wherry.engines.gate import GATE, call_frame

SOURCE = GATE.with_suffix(".c")
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
PATIENCE = 10_000
"""Milliseconds until a gate counts as one that hangs."""
MOST = 4 << 20


@pytest.fixture(scope="session")
def gates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Compile the gate as it is shipped, and so that it notices its own mistakes."""
    directory = tmp_path_factory.mktemp("gate")
    compilers = {"small": (["musl-gcc", *FLAGS]), "sanitized": (["gcc", *SANITIZED])}
    made = {}
    for name, (compiler, *flags) in compilers.items():
        made[name] = directory / name
        command = [require(compiler), *flags, "-o", str(made[name]), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture(params=["small", "sanitized"])
def gate(gates: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return gates[request.param]


@dataclass(frozen=True)
class End:
    code: int
    """As subprocess has it: negative for a signal."""
    said: bytes
    """On its end of the line, after ``R``."""
    out: bytes


def call(gate: Path, *pieces: bytes, mode: str = "line") -> End:
    """Start a gate, send the pieces, close our end, and wait for its own."""
    ours, theirs = socket.socketpair()
    out, their_out = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, their_out, 1), (os.POSIX_SPAWN_DUP2, their_out, 2)]
    number = 0 if mode == "stdin" else 9
    actions.append((os.POSIX_SPAWN_DUP2, theirs.fileno(), number))
    argv = ["gate", "-" if mode == "stdin" else str(number)]
    environment = {"FROM": "image", "PATH": "/bin"} if mode == "stdin" else {}
    pid = os.posix_spawn(gate, argv, environment, file_actions=actions, setsigdef=[signal.SIGPIPE])
    theirs.close()
    os.close(their_out)
    return End(*_end(pid, ours, out, pieces, mode))


def _end(
    pid: int, ours: socket.socket, out: int, pieces: tuple[bytes, ...], mode: str
) -> tuple[int, bytes, bytes]:
    pidfd = os.pidfd_open(pid)
    try:
        ours.settimeout(PATIENCE / 1000)
        if mode == "line":
            assert ours.recv(1) == b"R"
        try:
            for piece in pieces:
                ours.sendall(piece)
            ours.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        said = _rest(ours)
        with open(out, "rb") as file:
            written = file.read()
        waiting = select.poll()
        waiting.register(pidfd, select.POLLIN)
        hangs = not waiting.poll(PATIENCE)
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        os.close(pidfd)
    assert not hangs
    return os.waitstatus_to_exitcode(status), said, written


def _rest(ours: socket.socket) -> bytes:
    said = b""
    try:
        while data := ours.recv(4096):
            said += data
    except ConnectionResetError:
        pass
    return said


def test_the_gate_is_small(gates: dict[str, Path]) -> None:
    assert gates["small"].stat().st_size < 20_000


def test_a_call_is_executed_with_its_words_and_environment_and_no_other(gate: Path) -> None:
    script = 'printf "<%s>" "$@"; env | sort; ls /proc/self/fd'
    frame = call_frame(
        ["sh", "-c", script, "sh", "", "a b", "ß"], {"PATH": "/bin:/usr/bin", "A": ""}
    )
    end = call(gate, frame)
    assert end.out.decode().startswith("<><a b><ß>A=\n")
    assert "FROM=" not in end.out.decode()
    assert end.out.endswith(b"0\n1\n2\n3\n")
    assert (end.code, end.said) == (0, b"")


def test_a_call_may_come_in_any_pieces(gate: Path) -> None:
    frame = call_frame(["/bin/echo", "whole"], {})
    for cut in range(1, len(frame)):
        assert call(gate, frame[:cut], frame[cut:]).out == b"whole\n"


def test_a_call_that_is_cut_short_ends_without_a_word(gate: Path) -> None:
    frame = call_frame(["/bin/echo", "whole"], {"A": "b"})
    for cut in range(len(frame)):
        assert call(gate, frame[:cut]) == End(125, b"", b"")


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("/no/such", 127, b"E002"),
        ("no-such", 127, b"E002"),
        ("", 127, b"E002"),
        ("/etc/passwd", 126, b"E013"),
        ("/bin", 126, b"E013"),
        ("x" * 300, 126, b"E036"),
        ("/etc/passwd/x", 126, b"E020"),
    ],
)
def test_why_a_program_could_not_be_executed_is_told(
    gate: Path, program: str, code: int, said: bytes
) -> None:
    assert call(gate, call_frame([program], {"PATH": "/bin"})) == End(code, said, b"")


def header(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *(number & 0xFFFFFFFF for number in numbers))


WRONG = {
    "no length": header(0, 1, 0),
    "less than the counts": header(7, 1, 0),
    "no program": header(8, 0, 0),
    "only an environment": header(10, 0, 1) + b"A\0",
    "more than there may be": header(MOST + 9, 1, 0),
    "as much as a number can hold": header(-1, 1, 0),
    "more words than there may be": header(10, 65537, 0) + b"a\0",
    "more words and variables than there may be": header(10, 65536, 1) + b"a\0",
    "counts that overflow": header(10, -1, 2) + b"a\0",
    "words that are not there": header(10, 2, 0) + b"a\0",
    "variables that are not there": header(10, 1, 1) + b"a\0",
    "a word without an end": header(10, 1, 0) + b"aa",
    "more than was announced": header(12, 1, 0) + b"a\0b\0",
    "nothing where words should be": header(8, 1, 0),
}


@pytest.mark.parametrize("frame", WRONG.values(), ids=list(WRONG))
def test_a_frame_that_is_wrong_is_refused(gate: Path, frame: bytes) -> None:
    end = call(gate, frame)
    assert end == End(126, b"E022", b"")


def test_the_most_words_and_the_most_bytes_are_taken(gate: Path) -> None:
    most = ["/bin/true", *["x"] * (65536 - 1)]
    assert call(gate, call_frame(most, {})).code == 0
    assert call(gate, call_frame(["/bin/true"], {str(n): "" for n in range(65535)})).code == 0
    largest = b"/bin/true\0" + b"x" * (MOST - 11) + b"\0"
    assert call(gate, header(len(largest) + 8, 2, 0) + largest) == End(126, b"E007", b"")


VALID = st.builds(
    lambda words, names: call_frame(["/bin/true", *words], dict.fromkeys(names, "x")),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5), max_size=5
    ),
    st.lists(st.text("ABC", min_size=1, max_size=3), max_size=5),
)
NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, (1 << 32) - 1), st.sampled_from([MOST, -1]))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(VALID))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(frame) - 1)))
        match draw(st.sampled_from(["change", "remove", "insert", "cut"])):
            case "change" if frame:
                frame[at] = draw(st.integers(0, 255))
            case "remove":
                del frame[at : at + draw(st.integers(1, 8))]
            case "insert":
                frame[at:at] = draw(st.binary(max_size=8))
            case "cut":
                del frame[at:]
    return bytes(frame)


FRAMES = st.one_of(
    st.binary(max_size=64),
    mutated(),
    st.builds(
        lambda length, words, variables, body: header(length, words, variables) + body,
        NUMBERS, NUMBERS, NUMBERS, st.binary(max_size=32),
    ),
)  # fmt: skip


def fuzz(gate: Path, frame: bytes, mode: str) -> None:
    end = call(gate, frame, mode=mode)
    assert end.code in (0, 125, 126, 127), end
    assert b"Sanitizer" not in end.out
    assert b"runtime error" not in end.out
    if mode == "line":
        assert end.said in (b"", b"E002", b"E007", b"E013", b"E020", b"E022", b"E036", b"E040")
        assert (end.said == b"") == (end.code in (0, 125))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=FRAMES)
@example(frame=b"")
def test_no_input_makes_the_gate_hang_or_crash(gate: Path, frame: bytes) -> None:
    fuzz(gate, frame, "line")


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=FRAMES)
@example(frame=b"")
def test_no_call_on_stdin_makes_the_gate_hang_or_crash(gate: Path, frame: bytes) -> None:
    fuzz(gate, frame, "stdin")


@pytest.mark.parametrize("words", [(), ("9", "9"), ("x",), ("",), ("99",), ("-1",)])
def test_a_gate_that_is_called_wrongly_ends(gate: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [gate, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
    )
    assert done.returncode == 125


def test_the_compiled_gate_is_of_this_source(gates: dict[str, Path]) -> None:
    if not GATE.exists():
        missing("the compiled gate")
    assert GATE.stat().st_mtime >= SOURCE.stat().st_mtime, "run make setup again"
