"""The gate's last words, however the engine cuts them, and output that looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engines.docker.lastwords import Ending, LastWords, new_secret
from wherry.errors import EngineError
from wherry.models import Output, StreamName

SECRET = bytes(range(0xC0, 0xD0))
"""Looks as much as its beginning as can be."""
EXIT_7 = b"\xc1" + SECRET + b"X\7\0"
STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")


def taken(words: LastWords, stream: StreamName, *pieces: bytes) -> bytes:
    outputs = (words.take(Output(stream, piece)) for piece in pieces)
    return b"".join(output.data for output in outputs if output is not None)


def told(*pieces: bytes) -> tuple[bytes, Ending | None]:
    """Return what is left of stdout, and the ending, when stderr is empty."""
    words = LastWords(SECRET)
    left = taken(words, "stdout", *pieces)
    assert taken(words, "stderr", EXIT_7) == b""
    return left, words.ending


def test_words_are_taken_off_wherever_they_are_cut() -> None:
    whole = b"out\xc1\xc0" + EXIT_7
    for one in range(len(whole) + 1):
        for two in range(one, len(whole) + 1):
            pieces = [piece for piece in (whole[:one], whole[one:two], whole[two:]) if piece]
            assert told(*pieces) == (b"out\xc1\xc0", Ending("exit", 7))


def test_words_are_taken_off_byte_by_byte() -> None:
    data = b"a\xc1b" + EXIT_7[:9] + EXIT_7
    assert told(*(bytes([byte]) for byte in data)) == (b"a\xc1b" + EXIT_7[:9], Ending("exit", 7))


FRAGMENTS = st.one_of(
    st.binary(max_size=6),
    st.integers(0, 17).map(lambda length: EXIT_7[:length]),
    st.sampled_from([b"\xc1", b"\xc1\xc0", EXIT_7[1:], b"\xc1" + bytes(16) + b"X\0\0"]),
)


@given(
    fragments=st.lists(FRAGMENTS, max_size=12),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    releases=st.lists(st.booleans(), min_size=13, max_size=13),
)
def test_nothing_of_the_output_is_lost_or_added(
    fragments: list[bytes], cuts: list[int], releases: list[bool]
) -> None:
    output = b"".join(fragments)
    if EXIT_7[:17] in output:
        return
    whole, words, left = output + EXIT_7, LastWords(SECRET), b""
    edges = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    for start, end, release in zip(edges, edges[1:], releases, strict=False):
        left += taken(words, "stdout", whole[start:end])
        if release and end <= len(output):
            left += b"".join(each.data for each in words.release())
        assert output.startswith(left)
        assert len(left) >= min(end, len(output)) - 16, "no more is held than may be the words"
    taken(words, "stderr", EXIT_7)
    assert (left, words.ending) == (output, Ending("exit", 7))


@given(data=st.binary(max_size=200))
def test_without_the_words_everything_comes_out_in_the_end(data: bytes) -> None:
    words = LastWords(new_secret())
    left = taken(words, "stderr", data) + b"".join(each.data for each in words.release())
    assert (left, words.ending, words.holds) == (data, None, False)


def test_text_is_never_held() -> None:
    words = LastWords(new_secret())
    for text in ("a", "ß", "\u20ac", "\U0001f6a2", "\0", "\n"):
        assert taken(words, "stdout", text.encode()) == text.encode()
        assert not words.holds


def test_words_on_one_stream_are_no_ending() -> None:
    for stream in STREAMS:
        words = LastWords(SECRET)
        assert taken(words, stream, b"x" + EXIT_7) == b"x"
        assert words.ending is None


def test_a_program_that_could_not_be_executed_is_told_by_its_errno() -> None:
    words = LastWords(SECRET)
    for stream in STREAMS:
        taken(words, stream, EXIT_7[:17] + b"E\x85\x01")
    assert words.ending == Ending("errno", 0x185)


def test_words_of_another_call_are_output() -> None:
    words = LastWords(new_secret())
    for stream in STREAMS:
        assert taken(words, stream, EXIT_7) == EXIT_7
    assert words.ending is None


def test_words_that_were_given_on_as_output_are_an_error() -> None:
    for length in range(1, 18):
        words = LastWords(SECRET)
        assert taken(words, "stdout", b"o" + EXIT_7[:length]) == b"o"
        assert [each.data for each in words.release()] == [EXIT_7[:length]]
        assert not words.holds
        with pytest.raises(EngineError, match="delayed"):
            taken(words, "stdout", EXIT_7[length:])


@pytest.mark.parametrize("pieces", [(EXIT_7 + b"x",), (EXIT_7, b"x"), (EXIT_7[:9], EXIT_7)])
def test_output_after_the_end_is_an_error_and_a_torn_beginning_is_none(
    pieces: tuple[bytes, ...],
) -> None:
    if pieces[0] == EXIT_7[:9]:
        assert told(*pieces) == (EXIT_7[:9], Ending("exit", 7))
        return
    with pytest.raises(EngineError, match="after the end"):
        told(*pieces)


def test_two_different_endings_are_an_error() -> None:
    words = LastWords(SECRET)
    taken(words, "stdout", EXIT_7)
    taken(words, "stderr", EXIT_7[:18] + b"\0\0")
    with pytest.raises(EngineError, match="two endings"):
        _ = words.ending


def test_an_ending_of_no_known_kind_is_an_error() -> None:
    words = LastWords(SECRET)
    for stream in STREAMS:
        taken(words, stream, EXIT_7[:17] + b"?\0\0")
    with pytest.raises(EngineError, match="nobody knows"):
        _ = words.ending
