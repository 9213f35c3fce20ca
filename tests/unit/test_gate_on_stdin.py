"""The gate that reads its call from stdin, fed with calls and with anything else."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.require import missing

from wherry.engines.gate import GATE, call_frame, has_gate

ENV = {"PATH": "/usr/bin:/bin", "KEPT": "own", "OVER": "own"}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    if not has_gate():
        missing("the compiled gate")


def fed(data: bytes, program: Path = GATE) -> subprocess.CompletedProcess[bytes]:
    # Not by its path: a gate removes the file it was executed from.
    return subprocess.run(
        ["gate", "-"],
        executable=program,
        input=data,
        capture_output=True,
        env=ENV,
        timeout=10,
        check=False,
    )


def test_what_follows_the_call_is_the_programs_own_input() -> None:
    frame = call_frame(["cat"], {}, has_stdin=True)
    assert fed(frame + b"left").stdout == b"left"
    assert fed(frame).stdout == b""


def test_without_input_stdin_is_dev_null() -> None:
    frame = call_frame(["readlink", "/proc/self/fd/0"], {}, has_stdin=False)
    assert fed(frame).stdout == b"/dev/null\n"


def test_the_calls_environment_is_laid_over_the_gates_own() -> None:
    env = {"OVER": "call", "NEW": "a=b\n", "KEP": "", "KEPTT": "x"}
    seen = fed(call_frame(["env", "-0"], env, has_stdin=False)).stdout.split(b"\0")
    assert sorted(filter(None, seen)) == [
        b"KEP=", b"KEPT=own", b"KEPTT=x", b"NEW=a=b\n", b"OVER=call", b"PATH=/usr/bin:/bin",
    ]  # fmt: skip


def test_the_file_it_was_executed_from_is_removed(tmp_path: Path) -> None:
    copy = tmp_path / "gate"
    shutil.copy(GATE, copy)
    frame = call_frame(["echo", "on"], {}, has_stdin=False)
    result = subprocess.run([copy, "-"], input=frame, capture_output=True, env=ENV, check=False)
    assert result.stdout == b"on\n"
    assert not copy.exists()


@pytest.mark.parametrize(
    ("program", "code", "number"), [("no-such", 127, b"002"), ("/etc", 126, b"013")]
)
def test_a_failure_is_one_line(program: str, code: int, number: bytes) -> None:
    result = fed(call_frame([program], {}, has_stdin=True))
    assert (result.returncode, result.stdout) == (code, b"")
    assert result.stderr == b"[wherry gate] errno " + number + b"\n"


WORDS = st.binary(max_size=40).map(lambda word: word.replace(b"\0", b""))


@settings(max_examples=60, deadline=None)
@given(arguments=st.lists(WORDS, max_size=30), values=st.lists(WORDS, max_size=30))
def test_every_word_arrives_as_it_was(arguments: list[bytes], values: list[bytes]) -> None:
    argv = ["printf", r"%s\n", "", *map(os.fsdecode, arguments)]
    env = {f"V{number}": os.fsdecode(value) for number, value in enumerate(values)}
    frame = call_frame(argv, env, has_stdin=True)
    assert fed(frame).stdout == b"".join(word + b"\n" for word in [b"", *arguments])
    names = call_frame(["env", "-0"], env, has_stdin=True)
    seen = set(fed(names).stdout.split(b"\0"))
    assert {b"V%d=%s" % pair for pair in enumerate(values)} <= seen


@settings(max_examples=100, deadline=None)
@given(
    header=st.lists(
        st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)), min_size=4, max_size=4
    ),
    rest=st.binary(max_size=60),
    end=st.integers(0, 76),
)
def test_what_is_no_call_executes_nothing_and_ends(
    header: list[int], rest: bytes, end: int
) -> None:
    """An absolute path is no part of what is sent, and PATH has no such names."""
    data = (struct.pack("<4I", *header) + rest.replace(b"/", b"."))[:end]
    result = subprocess.run(
        ["gate", "-"], executable=GATE, input=data, capture_output=True,
        env={"PATH": "/nowhere"}, timeout=10, check=False,
    )  # fmt: skip
    assert result.returncode in (125, 126, 127)
    assert result.stdout == b""
    assert result.stderr == b"" or result.stderr.startswith(b"[wherry gate] errno ")
