"""The parts of speaking to a registry that need no registry."""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import ImageCorrupt, ImageError, RegistryError, UsageError
from wherry.images.addresses import (
    check_plain_http,
    is_loopback,
    is_named,
    proxy_for,
    tls_context,
)
from wherry.images.challenge import Challenge, parse_challenges, strongest
from wherry.images.credentials import Credentials
from wherry.images.faults import own_words, retry_after
from wherry.images.login import login
from wherry.images.manifests import manifest_type, read_index, read_manifest
from wherry.images.retries import Backoff, Retries, Transient

HUB = (
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
    'scope="repository:samalba/my-app:pull,push"'
)


def test_the_challenge_of_a_token_service_is_read() -> None:
    (challenge,) = parse_challenges([HUB])
    assert challenge == Challenge(
        "bearer",
        {
            "realm": "https://auth.docker.io/token",
            "service": "registry.docker.io",
            "scope": "repository:samalba/my-app:pull,push",
        },
    )


@pytest.mark.parametrize(
    ("values", "schemes"),
    [
        (['Basic realm="a, b"'], ["basic"]),
        (["Basic"], ["basic"]),
        (["Negotiate, Basic realm=x"], ["negotiate", "basic"]),
        (['Basic realm="x"', HUB], ["basic", "bearer"]),
        ([f'Basic realm="x", {HUB}'], ["basic", "bearer"]),
        ([f'{HUB}, Basic realm="x" , charset=UTF-8'], ["bearer", "basic"]),
        (['BEARER Realm = "x"'], ["bearer"]),
        ([""], []),
        (['"broken'], []),
    ],
)
def test_several_challenges_are_told_apart(values: list[str], schemes: list[str]) -> None:
    assert [challenge.scheme for challenge in parse_challenges(values)] == schemes


def test_a_quoted_parameter_may_hold_anything() -> None:
    (challenge,) = parse_challenges([r'Bearer realm="a\"b\\c, d=e"'])
    assert challenge.parameters["realm"] == r'a"b\c, d=e'


def test_a_token_is_preferred_to_a_password() -> None:
    found = strongest(parse_challenges(['Basic realm="x"', HUB]))
    assert found
    assert found.scheme == "bearer"
    assert strongest(parse_challenges(["Bearer", "Basic"])) == Challenge("basic", {})
    assert strongest(parse_challenges(["Negotiate"])) is None


@given(st.lists(st.text(max_size=60), max_size=3))
def test_no_header_can_break_the_parser(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("registry.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("192.168.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_loopback_is_known_without_a_name_server(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_an_insecure_registry_is_named_with_or_without_its_port() -> None:
    assert is_named("box:5000", ["box:5000"])
    assert is_named("box:5000", ["BOX"])
    assert is_named("[fd00::1]:5000", ["[fd00::1]"])
    assert not is_named("box:5001", ["box:5000"])
    assert not is_named("evilbox:5000", ["box"])
    assert not is_named("box.evil:5000", ["box"])


@pytest.mark.parametrize(
    ("url", "origin", "allowed"),
    [
        ("https://ghcr.io/v2/", "https://ghcr.io", True),
        ("http://ghcr.io/v2/", "https://ghcr.io", False),
        ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/v2/", True),
        ("http://localhost:1/x", "http://127.0.0.1:5000/v2/", True),
        ("http://127.0.0.1:8080/admin", "https://ghcr.io/v2/", False),
        ("http://box:5000/v2/", "https://ghcr.io/v2/", True),
        ("http://box:5001/v2/", "http://box:5000/v2/", False),
        ("file:///etc/passwd", "https://ghcr.io/v2/", False),
        ("http:///x", "https://ghcr.io/v2/", False),
    ],
)
def test_plain_http_is_for_loopback_and_named_registries_only(
    url: str, origin: str, allowed: bool
) -> None:
    if allowed:
        check_plain_http(url, named=["box:5000"], origin=origin)
        return
    with pytest.raises(RegistryError):
        check_plain_http(url, named=["box:5000"], origin=origin)


def test_the_environment_names_the_proxy_but_never_for_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:p%40ss@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example,.corp.example")
    found = proxy_for("https://ghcr.io/v2/")
    assert found
    assert found.url == "http://proxy.example:3128"
    assert found.headers == {"Proxy-Authorization": "Basic bWU6cEBzcw=="}
    assert proxy_for("https://127.0.0.1:5000/v2/") is None
    assert proxy_for("https://localhost/v2/") is None
    assert proxy_for("https://internal.example:5000/v2/") is None
    assert proxy_for("https://registry.corp.example/v2/") is None
    assert proxy_for("http://ghcr.io/v2/") is None
    monkeypatch.setenv("all_proxy", "proxy.example:1")
    plain = proxy_for("http://ghcr.io/v2/")
    assert plain
    assert plain.url == "http://proxy.example:1"
    monkeypatch.setenv("https_proxy", "socks5://proxy.example")
    with pytest.raises(RegistryError, match="not an HTTP proxy"):
        proxy_for("https://ghcr.io/v2/")


def test_a_broken_certificate_is_named(tmp_path: Path) -> None:
    place = tmp_path / "ghcr.io"
    place.mkdir()
    (place / "ca.crt").write_text("nonsense")
    with pytest.raises(ImageError, match=r"ca\.crt cannot be used"):
        tls_context("ghcr.io", [tmp_path])
    assert tls_context("..", [tmp_path / "x"])


def test_retry_after_holds_seconds_or_a_date() -> None:
    assert retry_after("7") == 7.0
    assert retry_after(None) is None
    assert retry_after("soon") is None
    in_a_minute = retry_after(formatdate(time.time() + 60, usegmt=True))
    assert in_a_minute
    assert 50 < in_a_minute <= 60
    assert retry_after(formatdate(0, usegmt=True)) == 0.0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}', "DENIED: no; X"),
        (b'{"errors":null}', '{"errors":null}'),
        (b"plain\n words\x1b[2J", "plain words[2J"),
        (b"<!DOCTYPE html><html>", ""),
        (b"", ""),
        (b"\xff" * 1000, "\ufffd" * 300),
    ],
)
def test_a_registry_s_own_words_are_bounded_and_safe_for_a_terminal(
    body: bytes, words: str
) -> None:
    assert own_words(body) == words


async def test_pauses_double_and_are_bounded_and_jittered() -> None:
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    retries = Retries(attempts=8, first=1, longest=10, sleep=sleep, jitter=lambda: 0.5)
    backoff = Backoff(retries)
    problem = Transient(RegistryError("busy"))
    for _ in range(7):
        await backoff.pause(problem)
    assert made == [0.75, 1.5, 3.0, 6.0, 7.5, 7.5, 7.5]
    with pytest.raises(RegistryError, match="busy"):
        await backoff.pause(problem)
    backoff.reset()
    await backoff.pause(Transient(RegistryError("busy"), retry_after=3))
    assert made[-1] == 3


def test_a_manifest_without_a_type_is_known_by_its_form() -> None:
    kind = manifest_type(b'{"config": {}, "layers": []}', content_type="text/plain", what="x")
    assert kind == "application/vnd.oci.image.manifest.v1+json"
    kind = manifest_type(b'{"manifests": []}', content_type="", what="x")
    assert kind == "application/vnd.oci.image.index.v1+json"


@given(st.binary(max_size=60) | st.from_regex(rb'\{"(config|layers|manifests)": .{0,20}\}'))
def test_no_manifest_can_raise_anything_but_an_image_error(data: bytes) -> None:
    for read in (
        lambda: manifest_type(data, content_type="x", what="x"),
        lambda: read_index(data, what="x"),
        lambda: read_manifest(data, what="x"),
    ):
        with suppress(ImageError):
            read()


def test_a_manifest_nested_without_end_is_corrupt() -> None:
    with pytest.raises(ImageCorrupt):
        manifest_type(b"[" * 1_000_000, content_type="", what="x")


@pytest.mark.parametrize("registry", ["", "ghcr", "https://", "a b.c"])
async def test_logging_in_needs_the_host_of_a_registry(registry: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="registry"):
        await login(registry, Credentials("me", "x"), file=tmp_path / "auth.json")
