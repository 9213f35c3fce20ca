"""Bad input of every kind: a clear 4xx, in one line, and a server that goes on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.support.serve_process import Served, serving

if TYPE_CHECKING:
    from pathlib import Path

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
UPPER = json.dumps({"service": "upper", "image": "busybox", "envProcess": "tr a-z A-Z"}).encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data: Path = tmp_path_factory.mktemp("bad-input")
    with serving(data, "--no-auth", "--no-access-log") as found:
        answer = talk(found, request(b"POST /system/functions", UPPER))
        assert answer.startswith(b"HTTP/1.1 202"), answer
        yield found


@pytest.fixture(autouse=True)
def goes_on(served: Served) -> Iterator[None]:
    yield
    answer = talk(served, request(b"POST /function/upper", b"still here"))
    assert answer.endswith(b"STILL HERE"), answer
    assert served.process.poll() is None
    assert not any("Traceback" in line for line in served.said), "".join(served.said)


def talk(served: Served, data: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes, and return all that comes back until the connection ends."""
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
        return received(connection)


def received(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while data := connection.recv(65536):
            answer += data
    except ConnectionResetError:
        pass
    return answer


def request(line: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    more = b"".join(header + b"\r\n" for header in headers)
    return line + b" HTTP/1.1\r\n" + HOST + CLOSE + length + more + b"\r\n" + body


def check(answer: bytes, statuses: set[int]) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 "), answer[:200]
    assert int(lines[0].split()[1]) in statuses, answer[:500]
    assert b"Traceback" not in body
    return body.decode()


DOCUMENTS: list[tuple[bytes, str]] = [
    (b"", "body: it is empty"),
    (b"   ", "body: it is empty"),
    (b"{", "no JSON"),
    (b"{}", "service: it is missing"),
    (b"null", "body: expected an object, got null"),
    (b"[]", "body: expected an object"),
    (b'"upper"', "body: expected an object"),
    (b'{"service": "a"} {}', "no JSON"),
    (b"service=upper", "no JSON"),
    (b"\xff\xfe", "no JSON"),
    (b'{"service": "\xff"}', "no JSON"),
    (b'{"service": "\\ud800"}', "no JSON"),
    (b'{"service": NaN}', "no JSON"),
    (b'{"x":' * 20000, "nested too deeply"),
    (b"[" * 500000, "body"),
    (b'{"service": 1}', "service: expected text, got a whole number"),
    (b'{"service": null}', "service: expected text, got null"),
    (b'{"service": ["a"]}', "service: expected text"),
    (b'{"service": "", "image": "b"}', "name"),
    (b'{"service": "../etc", "image": "b"}', "is no name"),
    (b'{"service": "a b", "image": "b"}', "is no name"),
    (b'{"service": "a\\u0000", "image": "b"}', "is no name"),
    ('{"service": "größe", "image": "b"}'.encode(), "is no name"),
    (b'{"service": "' + b"a" * 64 + b'", "image": "b"}', "at most 63"),
    (b'{"service": "a.none", "image": "b"}', "namespace: there is no 'none'"),
    (b'{"service": "a", "namespace": "no.ne", "image": "b"}', "dot"),
    (b'{"service": "a"}', "image: it is missing"),
    (b'{"service": "a", "image": "UPPER CASE"}', "UPPER CASE"),
    (b'{"service": "a", "image": "b", "envVars": {"A": 1}}', "envVars"),
    (b'{"service": "a", "image": "b", "envVars": {"A=B": "1"}}', "envVars"),
    (b'{"service": "a", "image": "b", "envVars": ["A"]}', "envVars: expected an object or null"),
    (b'{"service": "a", "image": "b", "labels": {"wherry.timeout": "soon"}}', "wherry.timeout"),
    (b'{"service": "a", "image": "b", "labels": {"wherry.tmeout": "1s"}}', "did you mean"),
    (b'{"service": "a", "image": "b", "limits": {"memory": "lots"}}', "limits.memory"),
    (b'{"service": "a", "image": "b", "limits": {"cpu": "-1"}}', "limits.cpu"),
    (b'{"service": "a", "image": "b", "limits": {"memory": 5}}', "limits.memory: expected text"),
    (b'{"service": "a", "image": "b", "secrets": ["none"]}', "secrets: there is no 'none'"),
    (b'{"service": "a", "image": "b", "secrets": "none"}', "secrets: expected a list"),
    (b'{"service": "a", "image": "b", "envProcess": "sh \'"}', "envProcess"),
    (b'{"service": "a", "image": "b", "readOnlyRootFilesystem": 1}', "true or false"),
    (b'{"service": "a", "pipe": ["upper", "none"]}', "none"),
]


@pytest.mark.parametrize(("body", "words"), DOCUMENTS, ids=lambda value: repr(value)[:40])
def test_a_deployment_that_cannot_be_right_says_what_would_be(
    served: Served, body: bytes, words: str
) -> None:
    said = check(talk(served, request(b"POST /system/functions", body)), {400})
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"PATCH /system/functions", 405),
        (b"POST /system/function/upper", 405),
        (b"GET /system/scale-function/upper", 405),
        (b"DELETE /system/logs", 405),
        (b"POST /healthz", 405),
        (b"BREW /system/functions", 400),
        (b"GET /system/nothing", 404),
        (b"GET /nothing", 404),
        (b"GET /system/function/none", 404),
        (b"GET /system/function/%2e%2e%2fetc", 404),
        (b"GET /system/function/%00", 404),
        (b"GET /system/function/%ff", 404),
        (b"GET /system/function/" + b"a" * 4000, 404),
        (b"GET //system/functions", 404),
        (b"GET /system/functions?namespace=none", 400),
        (b"GET /system/functions?namespace=a&namespace=b", 400),
        (b"GET /system/functions?namespace=%ff", 400),
        (b"GET /system/function/upper?usage=perhaps", 400),
        (b"POST /function/none", 404),
        (b"POST /function/", 400),
        (b"POST /function/a%20b", 400),
        (b"POST /function/%2e%2e/%2e%2e/etc/passwd", 400),
        (b"GET /async-function/upper", 405),
    ],
)
def test_a_wrong_path_or_method_is_named(served: Served, line: bytes, status: int) -> None:
    answer = talk(served, request(line))
    said = check(answer, {status})
    assert said
    if status == 405:
        assert b"\r\nallow: " in answer.lower()


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Bad Header: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
        b"POST /function/upper HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /function/upper HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n",
        b"POST /function/upper HTTP/1.1\r\n" + HOST
        + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /function/upper HTTP/1.1\r\n" + HOST
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /function/upper HTTP/1.1\r\n" + HOST
        + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"POST /function/upper HTTP/1.1\r\n" + HOST
        + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 1000,
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_what_is_no_http_is_a_400_or_a_closed_connection(served: Served, raw: bytes) -> None:
    answer = talk(served, raw, half_close=True)
    if answer:
        check(answer, {400})


def test_headers_without_end_are_refused(served: Served) -> None:
    many = b"".join(b"X-%d: y\r\n" % n for n in range(20000))
    for headers in (many, b"X: " + b"y" * 300_000 + b"\r\n"):
        raw = b"GET /healthz HTTP/1.1\r\n" + HOST + headers + b"\r\n"
        check(talk(served, raw), {431, 400})
    check(
        talk(served, b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"), {400, 414, 431}
    )


def test_two_hosts_and_a_foreign_one_are_refused(served: Served) -> None:
    raw = b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + CLOSE + b"\r\n"
    check(talk(served, raw), {400})
    raw = b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE + b"\r\n"
    assert "evil.example" in check(talk(served, raw), {421})


@pytest.mark.parametrize("size", [1_100_000, 40_000_000])
def test_a_document_that_is_too_large_is_a_413_that_its_sender_can_read(
    served: Served, size: int
) -> None:
    body = b'{"service": "' + b"a" * size + b'"}'
    assert "1 MiB" in check(talk(served, request(b"POST /system/functions", body)), {413})
    head = (b"POST /system/functions HTTP/1.1\r\n" + HOST + CLOSE
            + b"Transfer-Encoding: chunked\r\n\r\n")  # fmt: skip
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    check(talk(served, head + chunked), {413})


@pytest.mark.parametrize(
    ("header", "words"),
    [(b"X-Timeout: soon", "X-Timeout"), (b"X-Timeout: -1", "X-Timeout"),
     (b"X-Timeout: 0", "X-Timeout"), (b"X-Call-Id: a b", "X-Call-Id"),
     (b"X-Call-Id: " + b"a" * 500, "X-Call-Id")],
)  # fmt: skip
def test_a_header_of_a_call_that_cannot_be_read_is_named(
    served: Served, header: bytes, words: str
) -> None:
    assert words in check(talk(served, request(b"POST /function/upper", b"x", header)), {400})


def test_bodies_that_break_off_end_their_calls_alone(served: Served) -> None:
    for line in (b"POST /function/upper", b"POST /system/functions", b"POST /async-function/upper"):
        head = line + b" HTTP/1.1\r\n" + HOST
        talk(served, head + b"Content-Length: 100\r\n\r\nabc", half_close=True)
        talk(served, head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", half_close=True)


def test_many_clients_that_say_nothing_or_little_keep_nobody_waiting(served: Served) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(150)]
    try:
        for number, connection in enumerate(slow):
            if number % 3 == 1:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
            elif number % 3 == 2:
                connection.sendall(b"POST /system/functions HTTP/1.1\r\n" + HOST
                                   + b"Content-Length: 50\r\n\r\n{")  # fmt: skip
        began = time.monotonic()
        answer = talk(served, request(b"POST /function/upper", b"quick"))
        assert answer.endswith(b"QUICK")
        assert time.monotonic() - began < 10
    finally:
        for connection in slow:
            connection.close()


def test_headers_that_come_too_slowly_end_their_connection(served: Served) -> None:
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=40)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        answer = received(connection)
        assert time.monotonic() - began < 35
        if answer:
            check(answer, {408})
