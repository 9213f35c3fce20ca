"""Forms as browsers send them, in any pieces, and as nobody should."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from wherry.errors import TooLarge, UsageError
from wherry.ui import forms
from wherry.ui.forms import Form, read_form
from wherry.ui.multipart import Multipart

KIND = "multipart/form-data; boundary=----b0undary"
BODY = (
    b"------b0undary\r\n"
    b'Content-Disposition: form-data; name="text"\r\n\r\n'
    b"two\r\nlines\r\n"
    b"------b0undary\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a \\"b\\".bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
    b"\x00\r\n------b0undar\r\n--\xff\r\n"
    b"------b0undary--\r\n"
)


def request(kind: str, chunks: Iterable[bytes]) -> Request:
    waiting = list(chunks) or [b""]

    async def receive() -> dict[str, Any]:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    headers = [(b"content-type", kind.encode())] if kind else []
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def read(kind: str, *chunks: bytes, max_file: int = 1000) -> tuple[Form, bytes | None]:
    async with read_form(request(kind, chunks), max_file=max_file) as form:
        file = form.file
        return form, None if file is None else b"".join([chunk async for chunk in file])


async def test_fields_have_plain_line_ends_and_a_file_is_byte_for_byte() -> None:
    form, file = await read(KIND, BODY)
    assert form.text("text") == "two\nlines"
    assert file == b"\x00\r\n------b0undar\r\n--\xff"


@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=12))
async def test_a_form_means_the_same_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    chunks = [BODY[start:end] for start, end in pairwise(edges)]
    form, file = await read(KIND, *chunks)
    assert form.text("text") == "two\nlines"
    assert file == b"\x00\r\n------b0undar\r\n--\xff"


@given(st.binary(max_size=300))
async def test_what_is_no_form_is_refused_and_nothing_else(junk: bytes) -> None:
    with pytest.raises(UsageError):
        await read(KIND, junk)


async def test_a_file_that_was_not_chosen_is_none() -> None:
    body = (
        b'------b0undary\r\nContent-Disposition: form-data; name="file"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n------b0undary--\r\n"
    )
    assert (await read(KIND, body))[1] is None


async def test_an_empty_file_that_was_chosen_is_one() -> None:
    body = (
        b'------b0undary\r\nContent-Disposition: form-data; name="file"; filename="e"\r\n\r\n'
        b"\r\n------b0undary--\r\n"
    )
    assert (await read(KIND, body))[1] == b""


async def test_a_file_of_more_than_is_taken_is_refused() -> None:
    with pytest.raises(TooLarge, match="the file: more than 4 B"):
        await read(KIND, BODY, max_file=4)


async def test_a_form_that_breaks_off_is_refused() -> None:
    with pytest.raises(UsageError, match="broke off"):
        await read(KIND, BODY[:-5])


async def test_fields_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MAX_FIELDS", 5)
    with pytest.raises(TooLarge):
        await read(KIND, BODY)
    with pytest.raises(TooLarge):
        await read("application/x-www-form-urlencoded", b"text=hello")


def test_a_head_without_an_end_is_not_held() -> None:
    parser = Multipart("b")
    assert list(parser.feed(b"--b\r\nX-Long: " + b"x" * 8000)) == []
    with pytest.raises(UsageError, match="head of a part"):
        list(parser.feed(b"x" * 1000))


def test_more_parts_than_any_form_has_are_refused() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    with pytest.raises(UsageError, match="parts"):
        list(Multipart("b").feed(part * 300))


async def test_a_plain_form_is_read_too() -> None:
    form, file = await read("application/x-www-form-urlencoded", b"a=1%0D%0A2&b=", b"%26&c")
    assert (form.fields, file) == ({"a": "1\n2", "b": "&", "c": ""}, None)


async def test_another_kind_of_body_is_refused() -> None:
    with pytest.raises(UsageError, match="application/json"):
        await read("application/json", b"{}")


async def test_a_form_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_PATIENCE", 0.01)

    waiting = request("", [b"a=1"])

    async def silent() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    waiting._receive = silent
    with pytest.raises(UsageError, match="nothing came"):
        async with read_form(waiting, max_file=0):
            pass
