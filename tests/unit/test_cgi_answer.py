"""The header lines of CGI answers, from those who write well and those who do not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.triggers.cgi.answer import MAX_HEAD, BadAnswer, Head, HeadReader, parse


def read(*pieces: bytes) -> tuple[Head, bytes]:
    """Feed pieces and return the head and all of the body."""
    reader = HeadReader()
    left = list(pieces)
    while left:
        if (found := reader.feed(left.pop(0))) is not None:
            return found[0], found[1] + b"".join(left)
    raise reader.finish()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_in_lf_or_crlf(end: bytes) -> None:
    data = end.join([b"Content-Type: text/html", b"X-A: 1", b"", b"body\n\nmore"])
    head, body = read(data)
    assert head.status == 200
    assert head.headers == ((b"content-type", b"text/html"), (b"x-a", b"1"))
    assert body == b"body\n\nmore"


def test_line_ends_may_be_mixed() -> None:
    head, body = read(b"Content-Type: text/html\r\nX-A: 1\n\r\nbody")
    assert (len(head.headers), body) == (2, b"body")


@pytest.mark.parametrize("line", [b"Status: 404 Not Found", b"status:404", b"STATUS: 404"])
def test_the_status_is_the_programs_whatever_its_spelling(line: bytes) -> None:
    head, _ = read(line + b"\n\n")
    assert head.status == 404
    assert head.headers == ()


@pytest.mark.parametrize("value", [b"", b"x", b"40", b"4040", b"100 Continue", b"600", b"404x"])
def test_a_status_that_is_none_is_told(value: bytes) -> None:
    with pytest.raises(BadAnswer, match="Status"):
        read(b"Content-Type: a/b\nStatus: " + value + b"\n\n")


def test_the_first_status_counts() -> None:
    assert read(b"Status: 201\nStatus: 202\n\n")[0].status == 201


def test_repeated_headers_stay_apart() -> None:
    head, _ = read(b"Content-Type: a/b\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n")
    assert head.headers[1:] == ((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))


def test_a_path_in_location_is_answered_inside() -> None:
    assert read(b"Location: /other?x=1\n\n")[0].redirect == "/other?x=1"


@pytest.mark.parametrize("where", [b"http://example.com/", b"//example.com/", b"other"])
def test_any_other_location_is_for_the_client(where: bytes) -> None:
    head, _ = read(b"Location: " + where + b"\n\n")
    assert (head.status, head.redirect) == (302, None)
    assert head.headers == ((b"location", where),)


def test_a_location_with_a_status_is_for_the_client() -> None:
    head, _ = read(b"Status: 303 See Other\nLocation: /other\n\n")
    assert (head.status, head.redirect) == (303, None)


@pytest.mark.parametrize("data", [b"X-A: 1\n\nbody", b"\nbody", b"\r\nbody"])
def test_a_head_needs_a_status_a_type_or_a_location(data: bytes) -> None:
    with pytest.raises(BadAnswer, match="neither Status nor Content-Type nor Location"):
        read(data)


def test_output_without_an_empty_line_is_no_answer() -> None:
    with pytest.raises(BadAnswer, match="no empty line"):
        read(b"Content-Type: text/plain\n")


def test_no_output_is_no_answer() -> None:
    with pytest.raises(BadAnswer, match="wrote no header lines"):
        raise HeadReader().finish()


@pytest.mark.parametrize(
    "line", [b"hello world", b": x", b"a b: c", b"X-A: a\0b", b"X-A: a\rb", "ü: x".encode()]
)
def test_a_line_that_is_no_header_is_shown(line: bytes) -> None:
    with pytest.raises(BadAnswer, match=r"header line|NUL"):
        read(b"Content-Type: a/b\n" + line + b"\n\n")


def test_header_lines_of_more_than_32_kib_are_too_long() -> None:
    line = b"Content-Type: text/plain\nX-A: "
    head, _ = read(line + b"x" * (MAX_HEAD - len(line) - 1) + b"\n\nbody")
    assert head.status == 200
    with pytest.raises(BadAnswer, match="more than 32 KiB"):
        read(line + b"x" * (MAX_HEAD - len(line)) + b"\n\nbody")
    with pytest.raises(BadAnswer, match="more than 32 KiB"):
        read(line, b"x" * MAX_HEAD)


def test_what_is_between_two_hops_is_not_sent_on() -> None:
    head, _ = read(b"Content-Type: a/b\nConnection: close\nTransfer-Encoding: chunked\n\n")
    assert head.headers == ((b"content-type", b"a/b"),)


@pytest.mark.parametrize("value", [b"x", b"-1", b"1, 1", b"9" * 19])
def test_a_length_that_is_none_is_told(value: bytes) -> None:
    with pytest.raises(BadAnswer, match="Content-Length"):
        read(b"Content-Type: a/b\nContent-Length: " + value + b"\n\n")


@pytest.mark.parametrize(("status", "has"), [(200, True), (204, False), (304, False), (404, True)])
def test_some_statuses_have_no_body(status: int, has: bool) -> None:
    assert read(b"Status: %d\n\n" % status)[0].has_body is has


@given(st.data())
def test_it_does_not_matter_how_the_output_is_cut(data: st.DataObject) -> None:
    whole = b"Content-Type: text/html\r\nStatus: 201\r\nX-A: 1\n\r\nbody\r\n\r\nbody"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    edges = [0, *cuts, len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(edges)]
    assert read(*pieces) == read(whole)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_told_why_not(data: bytes) -> None:
    try:
        head, _ = read(data)
    except BadAnswer:
        return
    assert 200 <= head.status <= 599


def test_parse_takes_the_lines_alone() -> None:
    assert parse(b"Content-Type: a/b\n").headers == ((b"content-type", b"a/b"),)
