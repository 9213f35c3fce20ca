"""The decoder of events: whole objects, however the bytes are cut."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errors import EngineError
from wherry.proxy.decoder import OBJECT_LIMIT, Decoder, json_objects

TEXT = st.text(alphabet='ab"\\{}[]\n\x1e\u00e9\U0001f40b', max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES), max_size=5)


def decode(pieces: list[bytes]) -> list[dict[str, Any]]:
    decoder = Decoder()
    found = [value for piece in pieces for value in decoder.feed(piece)]
    decoder.close()
    return found


@settings(max_examples=50, deadline=None)
@given(OBJECTS, st.sampled_from(["", "\n", "\r\n", " ", "\x1e", "\n\x1e"]), st.integers(1, 9))
def test_objects_come_out_as_they_went_in_however_they_are_cut(
    objects: list[dict[str, Any]], between: str, size: int
) -> None:
    text = "".join(between + json.dumps(value, indent=size % 3 or None) for value in objects)
    data = text.encode()
    assert decode([data[at : at + size] for at in range(0, len(data), size)]) == objects


def test_braces_and_quotes_in_strings_do_not_end_an_object() -> None:
    value = {"a": '}"{\\', "b\\": ["]", '\\"']}
    assert decode([bytes([byte]) for byte in json.dumps(value).encode()]) == [value]


def test_an_object_comes_out_before_the_next_has_begun() -> None:
    assert list(Decoder().feed(b'{"a":1}')) == [{"a": 1}]


@pytest.mark.parametrize("data", [b"[1]", b"null", b'"x"', b"{} x", b"}", b"{nonsense}", b"{]"])
def test_what_is_no_object_is_an_error(data: bytes) -> None:
    with pytest.raises(EngineError):
        decode([data])


def test_an_end_in_the_middle_of_an_object_is_an_error() -> None:
    with pytest.raises(EngineError, match="in the middle"):
        decode([b'{"a":1}\n{"b"'])


@pytest.mark.parametrize("size", [1000, 65536, 1 << 30])
def test_an_object_that_is_too_large_is_left_out_and_not_held(size: int) -> None:
    large = b'{"a":"' + b'\\"}{' * (OBJECT_LIMIT // 4 + 1000) + b'"}'
    data = b'{"b":1}' + large + b'{"c":2}'
    decoder = Decoder()
    found: list[dict[str, Any]] = []
    for at in range(0, len(data), size):
        found += decoder.feed(data[at : at + size])
        assert len(decoder._held) <= OBJECT_LIMIT + size
    decoder.close()
    assert found == [{"b": 1}, {"c": 2}]


def test_an_end_in_the_middle_of_what_is_too_large_is_an_error() -> None:
    with pytest.raises(EngineError, match="in the middle"):
        decode([b'{"a":"', b"x" * OBJECT_LIMIT, b"x"])


async def test_a_stream_is_read_object_by_object() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"a":1}{"b"'
        yield b":2}\n"

    assert [value async for value in json_objects(chunks())] == [{"a": 1}, {"b": 2}]
