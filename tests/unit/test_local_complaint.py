"""Bubblewrap's words and the program's, which come by the same way."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wherry.engines.local.complaint import Complaint
from wherry.errors import EngineError, ProgramNotExecutable, ProgramNotFound, UsageError

LINES = st.sampled_from([b"bwrap: ", b"wherry-launcher: ", b"execvp x: No such file", b"\n", b"b"])
STDERR = st.lists(st.one_of(LINES, st.binary(min_size=1, max_size=40)), max_size=20)


@given(chunks=STDERR)
@example(chunks=[b"bwrap: ", b"x" * 9000, b"y"])
@example(chunks=[b"bwrap: " + b"x" * 8185, b"y", b"z"])
@example(chunks=[b"b", b"wrap: not really"])
def test_nothing_a_program_writes_is_lost_or_reordered_however_it_is_cut(
    chunks: list[bytes],
) -> None:
    complaint = Complaint()
    told = b""
    for chunk in chunks:
        told += complaint.hold(chunk) or b""
        assert complaint.hold(None) is None
    assert complaint.hold(b"") == b""
    told += complaint.release()
    assert told == b"".join(chunks)
    assert complaint.release() == b""


@given(first=st.binary(min_size=1), rest=STDERR)
def test_what_does_not_begin_as_a_complaint_is_told_at_once(
    first: bytes, rest: list[bytes]
) -> None:
    if first.startswith((b"bwrap: ", b"wherry-launcher: ")):
        return
    complaint = Complaint()
    assert complaint.hold(first) == first
    assert [complaint.hold(chunk) for chunk in rest] == rest


@given(cuts=st.lists(st.integers(8, 60), max_size=4))
def test_a_complaint_is_understood_however_it_is_cut(cuts: list[int]) -> None:
    text = b"bwrap: execvp tr: No such file or directory\n"
    complaint = Complaint()
    places = [0, *sorted(cuts), len(text)]
    for begin, end in itertools.pairwise(places):
        if begin < end:
            assert complaint.hold(text[begin:end]) is None or not text[begin:end]
    assert isinstance(complaint.error("id"), ProgramNotFound)


ERRORS = {
    "bwrap: execvp tr: No such file or directory\n": (ProgramNotFound, "no program 'tr'"),
    "bwrap: execvp a: b: No such file or directory": (ProgramNotFound, "no program 'a: b'"),
    "bwrap: execvp /x\ny: Permission denied\n": (
        ProgramNotExecutable,
        r"'/x\\ny' cannot be executed in the image: Permission denied",
    ),
    "bwrap: execvp x: Exec format error\n": (ProgramNotExecutable, "Exec format error"),
    "bwrap: Can't chdir to /a: b: No such file or directory\n": (
        UsageError,
        "workdir '/a: b' cannot be entered: No such file or directory",
    ),
    "bwrap: Can't mount proc: Operation not permitted\n": (
        EngineError,
        "container 4711 could not be set up: bwrap: Can't mount proc: Operation not permitted",
    ),
    "wherry-launcher: unshare: No space left on device\n": (
        EngineError,
        "wherry-launcher: unshare",
    ),
    "": (EngineError, "no reason was given"),
}


@pytest.mark.parametrize("text", ERRORS)
def test_a_complaint_becomes_the_error_it_means(text: str) -> None:
    kind, words = ERRORS[text]
    complaint = Complaint()
    if text:
        assert complaint.hold(text.encode()) is None
    error = complaint.error("4711")
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error
