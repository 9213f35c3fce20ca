"""How a registry is reached: over TLS, through a proxy, or not at all."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import encode_basic_auth, web
from tests.support.fake_registry import FakeRegistry, fake_registry
from tests.support.odd_pulling import IMAGE, fetch
from tests.support.registry_certificate import certificate
from tests.support.registry_proxy import serving

from wherry.errors import (
    RegistryError,
)
from wherry.images.pull import pull
from wherry.images.reference import Reference

if TYPE_CHECKING:
    from wherry.images.store import ImageStore
    from wherry.images.transport import Wire


async def test_tls_is_verified_against_the_ca_of_the_host(
    store: ImageStore, wire: Wire, tmp_path: Path
) -> None:
    ca, key = certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)
    async with fake_registry(ssl_context=context) as registry:
        registry.add(IMAGE)
        with pytest.raises(RegistryError, match=r"not trusted .*certs\.d/127\.0\.0\.1:\d+/ca\.crt"):
            await fetch(store, registry, wire)
        assert registry.asked == []
        place = tmp_path / "certs.d" / registry.host / "ca.crt"
        place.parent.mkdir(parents=True)
        place.write_bytes(ca.read_bytes())
        trusting = replace(wire, certificates=(tmp_path / "certs.d",))
        assert (await fetch(store, registry, trusting)).digest == IMAGE.digest


async def test_tls_is_verified_against_the_ca_of_the_environment(
    store: ImageStore, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, key = certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    async with fake_registry(ssl_context=context) as registry:
        registry.add(IMAGE)
        assert (await fetch(store, registry, wire)).digest == IMAGE.digest


async def test_the_proxy_of_the_environment_is_used_with_its_password(
    registry: FakeRegistry,
    store: ImageStore,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        password = request.headers.get("Proxy-Authorization")
        seen.append((request.method, request.headers["Host"], password))
        if request.method == "CONNECT":
            return web.Response(status=405)
        return await registry.handle(request)

    async with serving(forward) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@{proxy}")
        monkeypatch.setenv("https_proxy", f"http://user:p%40ss@{proxy}")
        name = Reference.parse("registry.example:5000/any")
        insecure = ["registry.example:5000"]
        assert await pull(store, name, insecure=insecure, wire=wire)
    assert seen[0][0] == "CONNECT", "TLS is tried first"
    assert {(host, password) for _, host, password in seen} == {
        ("registry.example:5000", encode_basic_auth("user", "p@ss"))
    }


async def test_plain_http_with_a_registry_elsewhere_must_be_asked_for(
    store: ImageStore, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods: list[str] = []

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        methods.append(request.method)
        return web.Response(status=405)

    async with serving(forward) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        monkeypatch.setenv("https_proxy", f"http://{proxy}")
        with pytest.raises(RegistryError, match=r"proxy refused registry\.example"):
            await pull(store, Reference.parse("registry.example/any"), wire=wire)
    assert set(methods) == {"CONNECT"}


async def test_a_port_that_accepts_and_says_nothing_is_left(store: ImageStore, wire: Wire) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hasty = replace(wire, connect_timeout=0.05, read_timeout=0.05)
        with pytest.raises(RegistryError, match="did not answer in time"):
            await pull(store, Reference.parse(f"127.0.0.1:{port}/any"), wire=hasty)
        assert len(writers) == 1 + wire.retries.attempts, "TLS once, then plain HTTP"
        for writer in writers:
            writer.close()
