"""The framing of attached streams, however the bytes are cut."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engines.docker.frames import Frames
from wherry.errors import EngineError
from wherry.models import Output, StreamName

IDS: dict[StreamName, int] = {"stdout": 1, "stderr": 2}
outputs = st.lists(
    st.builds(Output, st.sampled_from(["stdout", "stderr"]), st.binary(max_size=300)), max_size=20
)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">B3xL", stream, len(data)) + data


def joined(found: list[Output]) -> dict[str, bytes]:
    return {
        name: b"".join(output.data for output in found if output.stream == name) for name in IDS
    }


def order(found: list[Output]) -> list[str]:
    """Return the streams in the order they took turns."""
    names = [output.stream for output in found if output.data]
    return [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]


@given(outputs, st.lists(st.integers(0, 8000), max_size=40))
def test_frames_may_be_split_anywhere(said: list[Output], cuts: list[int]) -> None:
    wire = b"".join(frame(IDS[output.stream], output.data) for output in said)
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    frames = Frames()
    found = [output for start, end in pairwise(places) for output in frames.feed(wire[start:end])]
    frames.finish()
    assert joined(found) == joined(said)
    assert order(found) == order(said)
    assert all(output.data for output in found)


def test_one_byte_at_a_time_is_enough() -> None:
    frames = Frames()
    wire = frame(1, b"out") + frame(2, b"err")
    found = [output for byte in wire for output in frames.feed(bytes([byte]))]
    frames.finish()
    assert found == [Output("stdout", bytes([b])) for b in b"out"] + [
        Output("stderr", bytes([b])) for b in b"err"
    ]


def test_a_frame_of_four_gigabytes_is_passed_on_as_it_comes() -> None:
    frames = Frames()
    assert list(frames.feed(struct.pack(">B3xL", 1, 2**32 - 1))) == []
    assert list(frames.feed(b"x" * 10)) == [Output("stdout", b"x" * 10)]
    assert list(frames.feed(b"y")) == [Output("stdout", b"y")]


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_stream_cut_inside_a_frame_is_an_error(data: bytes, drawn: st.DataObject) -> None:
    wire = frame(1, b"whole") + frame(2, data)
    end = drawn.draw(st.integers(len(frame(1, b"whole")) + 1, len(wire) - 1))
    frames = Frames()
    list(frames.feed(wire[:end]))
    with pytest.raises(EngineError, match="cut inside a frame"):
        frames.finish()


def test_frames_of_stdin_count_as_stdout_and_empty_ones_are_nothing() -> None:
    frames = Frames()
    wire = frame(0, b"typed") + frame(1, b"") + frame(2, b"")
    assert list(frames.feed(wire)) == [Output("stdout", b"typed")]
    frames.finish()


@pytest.mark.parametrize("end", [3, 8, 12, 20])
def test_an_error_frame_of_the_engine_is_an_error_with_its_words(end: int) -> None:
    wire = frame(1, b"before") + frame(3, b"disk on fire")
    frames = Frames()
    found = []
    with pytest.raises(EngineError, match="disk on fire"):  # noqa: PT012 - any part may hold it
        for part in (wire[:end], wire[end:]):
            for output in frames.feed(part):
                found.append(output)  # noqa: PERF402 - what came before the error counts
    assert joined(found)["stdout"] == b"before"


def test_an_endless_error_frame_is_not_collected_for_ever() -> None:
    frames = Frames()
    with pytest.raises(EngineError, match="zzzz"):
        list(frames.feed(struct.pack(">B3xL", 3, 2**31) + b"z" * 5000))


@pytest.mark.parametrize("wire", [b"HTTP/1.1 500 Oh no", b"\x01\x00\x01\x00\x00\x00\x00\x01x"])
def test_what_is_no_frame_is_an_error_and_never_output(wire: bytes) -> None:
    with pytest.raises(EngineError, match="not framed"):
        list(Frames().feed(wire))


def test_lines_that_come_together_are_one_output_and_streams_keep_their_order() -> None:
    wire = frame(1, b"a\n") + frame(1, b"b\n") + frame(2, b"oh\n") + frame(1, b"c\n")
    found = list(Frames().feed(wire))
    assert found == [
        Output("stdout", b"a\nb\n"),
        Output("stderr", b"oh\n"),
        Output("stdout", b"c\n"),
    ]
