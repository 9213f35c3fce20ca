"""What the front takes for a request, another parser takes for the same request, on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

import httptools
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.proxy_memory import MemoryWire
from tests.support.proxy_wire import passing

from wherry.engines.docker.address import Address
from wherry.proxy.front import Exchange, Front, Handler, Patience, Peer, Refusal
from wherry.proxy.upstream import Upstream

EXAMPLES = 400

TOKENS = (
    b"GET", b"POST", b"HEAD", b"PRI", b" ", b"\t", b"/", b"/a", b"*", b"http://x/", b"?", b"#",
    b"%", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\n\n",
    b":", b": ", b" :", b",", b";", b";a=b", b"Host: x", b"Content-Length: 3",
    b"Content-Length:", b"Content-Length: 0", b"Content-Length: 10", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding:", b"chunked", b"identity", b"gzip, chunked", b"Connection: close",
    b"Connection: keep-alive", b"Expect: 100-continue", b"X-A:", b"0", b"1", b"3", b"+3", b"0x3",
    b"3\r\nabc\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"ffffffff", b"abc", b"\x00", b"\x0b",
    b"\x7f", b"\x80", b"\xff", b"_", b'"', b"'",
)  # fmt: skip
REQUESTS = (
    b"GET /v1.41/containers/json?all=1 HTTP/1.1\r\nHost: x\r\nAccept: a\r\n\r\n",
    b"POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    (
        b"PUT /v1.41/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    ),
    (
        b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 37\r\n\r\n"
        b"GET /inner HTTP/1.1\r\nHost: inner\r\n\r\nx"
    ),
    b"DELETE /v1.41/containers/x?force=1 HTTP/1.1\r\nhost:x\r\nX-A:\t b \r\n\r\n",
    b"POST /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
)


@dataclass
class Seen:
    """One request, as one parser reads it."""

    method: bytes = b""
    target: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Other:
    """The requests of a stream of bytes, as llhttp reads them."""

    def __init__(self, data: bytes) -> None:
        self.seen: list[Seen] = []
        self._parser = httptools.HttpRequestParser(self)
        self.complete = 0
        with contextlib.suppress(httptools.HttpParserError):
            self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.seen.append(Seen())

    def on_url(self, url: bytes) -> None:
        self.seen[-1].target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen[-1].headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.seen[-1].method = self._parser.get_method()

    def on_body(self, data: bytes) -> None:
        self.seen[-1].body += data

    def on_message_complete(self) -> None:
        self.complete += 1


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Requests one after the other, with some of their bytes replaced by what may confuse."""
    data = b"".join(draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.sampled_from((0, 0, 1, 2, 5, 12, 40))), len(data))
        data = data[:start] + draw(st.sampled_from(TOKENS)) + data[end:]
    return data


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]


async def front_reads(pieces: list[bytes]) -> list[Seen]:
    """Return the whole requests that a handler is given."""
    seen: list[Seen] = []

    async def handler(exchange: Exchange) -> None:
        request = exchange.request
        body = await request.body.read()
        headers = [(name.encode(), value.encode()) for name, value in request.headers]
        seen.append(Seen(request.method.encode(), request.target, headers, body))
        await exchange.answer(200, b"an answer")

    await serve(handler, pieces)
    return seen


async def serve(handler: Handler, pieces: list[bytes]) -> bytes:
    front = Front(handler, patience=Patience(linger=0.01))
    ours, theirs = socket.socketpair()
    wire = MemoryWire(pieces)
    try:
        async with asyncio.timeout(10):
            await front.serve(wire, watched=theirs, peer=Peer("unix"))
    finally:
        front.departures.close()
        ours.close()
        theirs.close()
    return bytes(wire.written)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams(), st.lists(st.integers(0, 10_000), max_size=6))
@example(b"".join(REQUESTS), [])
@example(b"".join(REQUESTS), list(range(1000)))
def test_another_parser_reads_the_same_requests(data: bytes, places: list[int]) -> None:
    ours = asyncio.run(front_reads(cut(data, places)))
    other = Other(data)
    assert other.complete >= len(ours)
    assert other.seen[: len(ours)] == ours


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams(), st.lists(st.integers(0, 10_000), max_size=6))
def test_how_bytes_are_cut_changes_nothing(data: bytes, places: list[int]) -> None:
    assert asyncio.run(front_reads([data])) == asyncio.run(front_reads(cut(data, places)))


class Engine(Upstream):
    """An engine that writes down what it is sent, and says yes."""

    def __init__(self) -> None:
        super().__init__(Address(scheme="unix", path="/none"))
        self.wires: list[MemoryWire] = []

    async def _dial(self) -> MemoryWire:
        self.wires.append(
            MemoryWire([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], open=True)
        )
        return self.wires[-1]


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams(), st.lists(st.integers(0, 10_000), max_size=3))
@example(b"".join(REQUESTS[:5]), [])
def test_the_engine_reads_one_request_per_connection_and_no_header_of_the_client(
    data: bytes, places: list[int]
) -> None:
    seen: list[Seen] = []

    async def run() -> Engine:
        upstream = Engine()

        async def handler(exchange: Exchange) -> None:
            request = exchange.request
            body = await request.body.read()
            path, mark, query = request.target.decode().partition("?")
            try:
                async with upstream.exchange(
                    request.method, path, query={"q": query} if mark else None, body=body or None
                ) as answer:
                    await answer.read()
            except ValueError as error:
                raise Refusal(400, str(error)) from error
            seen.append(Seen(request.method.encode(), path.encode(), [], body))
            await exchange.answer(200)

        await serve(handler, cut(data, places))
        return upstream

    upstream = asyncio.run(run())
    assert len(upstream.wires) >= len(seen)
    sent = [Other(bytes(wire.written)) for wire in upstream.wires]
    assert all(each.complete == len(each.seen) == 1 for each in sent)
    for asked, each in zip(seen, sent, strict=False):
        got = each.seen[0]
        assert (got.method, got.body) == (asked.method, asked.body)
        assert got.target.partition(b"?")[0] == b"/v1.41" + asked.target
        assert {name for name, _ in got.headers} <= {b"host", b"content-length"}


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from((*TOKENS, b"HTTP/1.1 200 OK\r\n", b"101", b"204")), max_size=12))
def test_whatever_an_engine_says_is_an_answer_or_an_error(tokens: list[bytes]) -> None:
    async def run() -> None:
        upstream = Engine()
        wire = MemoryWire([b"HTTP/1.1 ", *tokens])

        async def dial() -> MemoryWire:
            return wire

        upstream._dial = dial  # type: ignore[method-assign]
        answer = await serve(passing(upstream), [b"GET /v1.41/x HTTP/1.1\r\nHost: x\r\n\r\n"])
        assert answer.startswith(b"HTTP/1.1 ")

    asyncio.run(run())
