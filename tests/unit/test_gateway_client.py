"""The command line's HTTP: addresses, logins, errors, and bodies in both directions at once."""

from __future__ import annotations

import argparse
import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.certificates import make_certificates
from tests.support.fake_gateway import FakeGateway, fake_gateway

from wherry.cli import gateway_client
from wherry.cli.gateway_address import Address, address_of, parse
from wherry.cli.gateway_client import Gateway, NotAllowed, segment
from wherry.errors import AlreadyExists, EngineError, EngineUnavailable, NotFound, UsageError


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with fake_gateway() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WHERRY_GATEWAY", "OPENFAAS_URL", "WHERRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WHERRY_CONFIG_DIR", str(tmp_path / "config"))


def options(**given: object) -> argparse.Namespace:
    plain = {"gateway": None, "token_file": None, "ca_file": None, "tls_no_verify": False}
    return argparse.Namespace(**{**plain, **given})


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, False, "", "127.0.0.1:8080")),
        ("http://faas/", ("faas", 80, False, "", "faas")),
        ("https://faas.de/a/b/", ("faas.de", 443, True, "/a/b", "faas.de")),
        ("http://[::1]:99", ("::1", 99, False, "", "[::1]:99")),
        ("box:31112", ("box", 31112, False, "", "box:31112")),
    ],
)  # fmt: skip
def test_addresses_are_read(text: str, expected: tuple[object, ...]) -> None:
    at = parse(text)
    assert (at.host, at.port, at.tls, at.prefix, at.host_header) == expected


@pytest.mark.parametrize("text", ["unix:/run/w.sock", "unix:///run/w.sock"])
def test_a_unix_socket_is_an_address(text: str) -> None:
    assert parse(text).socket == "/run/w.sock"
    assert parse(text).host_header == "localhost"


@pytest.mark.parametrize(
    "text", ["ftp://x", "http://", "http://x:99999", "http://x:0", "unix:", "http://x/?a=b"]
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="WHERRY_GATEWAY: "):
        parse(text, name="WHERRY_GATEWAY")


def test_the_option_goes_before_the_environment_and_ours_before_openfaas_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert address_of(options()).text == "http://127.0.0.1:8080"
    monkeypatch.setenv("OPENFAAS_URL", "http://theirs")
    assert address_of(options()).host == "theirs"
    monkeypatch.setenv("WHERRY_GATEWAY", "http://ours")
    assert address_of(options()).host == "ours"
    assert address_of(options(gateway="http://mine")).host == "mine"


def test_a_login_in_the_address_is_used_and_never_shown() -> None:
    at = address_of(options(gateway="http://admin:p%40ss@localhost:1"))
    assert at.authorization == basic("admin:p@ss")
    assert at.text == "http://localhost:1"
    assert "Basic" not in repr(at)


def test_tokens_come_from_a_file_then_the_environment_then_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stored = tmp_path / "config" / "gateways.toml"
    stored.parent.mkdir()
    stored.write_text(
        '["http://localhost:1"]\ntoken = "stored"\n["http://localhost:2"]\nuser="a"\n'
    )
    stored.chmod(0o600)
    assert address_of(options(gateway="http://localhost:1/")).authorization == "Bearer stored"
    assert address_of(options(gateway="http://localhost:2")).authorization == basic("a:")
    assert address_of(options(gateway="http://localhost:3")).authorization is None
    monkeypatch.setenv("WHERRY_TOKEN", "env")
    assert address_of(options(gateway="http://localhost:1")).authorization == "Bearer env"
    file = tmp_path / "token"
    file.write_text("from-file\n")
    found = address_of(options(gateway="http://localhost:1", token_file=str(file)))
    assert found.authorization == "Bearer from-file"
    file.write_text("two words")
    with pytest.raises(UsageError, match="does not hold a token"):
        address_of(options(token_file=str(file)))


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ('["http://localhost"]\ntoken = "x"', 0o644, "chmod 600"),
        ('["http://localhost"]\ntokn = "x"', 0o600, "did you mean 'token'"),
        ("= 1", 0o600, "gateways.toml: "),
        ('"http://localhost" = 1', 0o600, "must be a table"),
    ],
)
def test_a_bad_file_of_logins_is_refused(text: str, mode: int, says: str, tmp_path: Path) -> None:
    stored = tmp_path / "config" / "gateways.toml"
    stored.parent.mkdir()
    stored.write_text(text)
    stored.chmod(mode)
    with pytest.raises(UsageError, match=says):
        address_of(options(gateway="http://localhost"))


def test_a_login_over_plain_http_to_another_machine_is_warned_of(
    capfd: pytest.CaptureFixture[str],
) -> None:
    address_of(options(gateway="http://a:b@127.0.0.1"))
    address_of(options(gateway="https://a:b@faas.example.com"))
    assert capfd.readouterr().err == ""
    address_of(options(gateway="http://a:b@faas.example.com"))
    assert "not encrypted" in capfd.readouterr().err


async def test_documents_are_asked_for_and_answered(gateway: FakeGateway) -> None:
    gateway.replies["POST /pre/x"] = (202, {"a": [1]})
    gateway.replies["GET /pre/y?q=a%26b"] = (200, "text")
    client = Gateway(parse(f"{gateway.url}/pre/", authorization="Bearer t"))
    assert await client.ask("POST", "/x", document={"b": "ä"}) == {"a": [1]}
    assert await client.ask("GET", "/y", query={"q": "a&b", "none": None, "empty": ""}) == "text"
    first = gateway.asked[0]
    assert first.document == {"b": "ä"}
    assert first.headers["authorization"] == "Bearer t"
    assert first.headers["host"] == gateway.url.removeprefix("http://")


@pytest.mark.parametrize(
    ("status", "said", "kind", "message"),
    [
        (400, "limits.memory: no\n", UsageError, "limits.memory: no"),
        (401, "who are you", NotAllowed, "who are you; set WHERRY_TOKEN or give --token-file"),
        (403, "not yours", NotAllowed, "not yours"),
        (404, "no such", NotFound, "no such"),
        (409, {"error": "is there"}, AlreadyExists, "is there"),
        (500, "broken", EngineError, "broken"),
        (503, "", EngineError, "the gateway answers 503"),
        (400, '{"a":', UsageError, '{"a":'),
    ],
)
async def test_an_error_says_what_the_gateway_says(
    gateway: FakeGateway, status: int, said: object, kind: type[Exception], message: str
) -> None:
    gateway.replies["GET /"] = (status, said)
    with pytest.raises(kind) as caught:
        await Gateway(parse(gateway.url)).ask("GET", "/")
    assert str(caught.value) == message


async def test_no_gateway_is_told_with_what_to_do(tmp_path: Path) -> None:
    with fake_gateway() as gone:
        url = gone.url
    for address in (url, f"unix:{tmp_path}/no.sock"):
        with pytest.raises(EngineUnavailable, match=r"no gateway answers at .*wherry serve"):
            await Gateway(parse(address)).ask("GET", "/")


async def test_a_gateway_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    async def fine(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    path = str(tmp_path / "sock")
    asking = asyncio.create_task(Gateway(parse(f"unix:{path}"), patience=20).ask("GET", "/"))
    await asyncio.sleep(0.01)
    async with await asyncio.start_unix_server(fine, path):
        assert await asking == "ok"


async def test_what_cannot_be_a_header_is_refused_before_anything_is_sent(
    gateway: FakeGateway,
) -> None:
    with pytest.raises(UsageError, match="cannot be sent"):
        await Gateway(parse(gateway.url, authorization="Bearer a\nb")).ask("GET", "/")
    assert gateway.asked == []


def test_names_are_one_segment() -> None:
    assert segment("a/b?c d") == "a%2Fb%3Fc%20d"


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve, *, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve raw bytes; the connection is closed when ``serve`` returns."""
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            ended.set()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
        async with asyncio.timeout(10):
            await ended.wait()


async def test_bodies_stream_in_both_directions_at_once() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (line := await reader.readline()) != b"0\r\n":
            writer.write(line + await reader.readexactly(int(line, 16) + 2))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    words = [b"one", b"two", b"three"]
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def ask() -> AsyncIterator[bytes]:
        for word in words:
            yield word
            assert await answers.get() == word

    async with (
        server(echo) as url,
        Gateway(parse(url)).open("POST", "/function/echo", body=ask()) as answer,
    ):
        async with asyncio.timeout(10):
            async for chunk in answer:
                answers.put_nowait(chunk)
    assert answers.empty()


async def test_an_answer_that_comes_before_the_body_is_sent_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        await writer.drain()
        await reader.read()  # until the client goes

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64 * 1024)

    async with (
        asyncio.timeout(10),
        server(refuse) as url,
        Gateway(parse(url)).open("POST", "/", body=endless()) as answer,
    ):
        assert (answer.status, await answer.read()) == (413, b"large")


async def test_a_cut_answer_is_an_error_and_not_an_end() -> None:
    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.close()

    async with server(cut) as url, Gateway(parse(url)).open("GET", "/") as answer:
        with pytest.raises(EngineError, match="cut off"):
            await answer.read()


async def test_an_error_of_the_body_s_source_comes_out_as_itself() -> None:
    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("the source's own")

    async with asyncio.timeout(10), server(wait) as url:
        with pytest.raises(KeyError):
            async with Gateway(parse(url)).open("POST", "/", body=broken()):
                pass


async def test_a_certificate_is_checked_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    async def fine(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0)

    made = make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.server_cert, made.server_key)
    async with asyncio.timeout(20):
        async with server(fine, context=context) as url:
            with pytest.raises(EngineUnavailable, match="--ca-file"):
                await Gateway(parse(url)).ask("GET", "/")
            assert await Gateway(parse(url, ca_file=str(made.ca))).ask("GET", "/") == "ok"
            assert await Gateway(parse(url, verify=False)).ask("GET", "/") == "ok"
    with pytest.raises(UsageError, match="--ca-file: '/no/such'"):
        await Gateway(parse("https://localhost", ca_file="/no/such")).ask("GET", "/")


def test_a_silent_gateway_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_client, "ANSWER_SECONDS", 0.02)

    async def silent() -> None:
        async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with server(wait) as url:
            with pytest.raises(EngineUnavailable, match=r"did not answer within 0\.02 s"):
                await Gateway(Address(text=url, host="127.0.0.1", port=parse(url).port)).ask(
                    "GET", "/"
                )

    asyncio.run(silent())
