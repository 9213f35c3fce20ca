"""Where a request comes from behind a proxy: who is believed, and who reads it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from tests.support.asgi import Asgi
from tests.support.functions import Registry, deployed

from wherry.client import AsyncClient
from wherry.errors import UsageError
from wherry.server.journal import JsonLines
from wherry.service.service import FunctionService
from wherry.testing import Call, MemoryEngine
from wherry.triggers.cgi.handler import Cgi
from wherry.triggers.http.app import gateway
from wherry.triggers.http.auth import Auth, AuthOptions
from wherry.triggers.http.forwarding import Forwarded, Trusted
from wherry.triggers.http.hops import request_headers
from wherry.triggers.http.parts import GatewayOptions, Parts
from wherry.web.rates import Rate

PROXIES = Trusted.parse("10.0.0.0/8", "fd00::/8", "unix")
TOLD = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "faas.example.org",
}


async def seen(
    peer: str | None, headers: Any, *, kind: str = "http", trusted: Trusted = PROXIES
) -> dict[str, Any]:
    """Return the scope that an application gets."""
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    client = (peer, 40000) if peer is not None else None
    server = ("127.0.0.1", 8080) if peer is not None else ("/s", None)
    ask = Asgi(Forwarded(app, trusted), client=client, server=server)
    await ask("GET /", headers=headers, kind=kind)
    return scopes[0]


def host(scope: dict[str, Any]) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"host"]


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3", None])
async def test_a_trusted_proxy_says_where_a_request_comes_from(peer: str | None) -> None:
    scope = await seen(peer, TOLD)
    assert scope["client"] == ("203.0.113.7", 0)
    assert scope["scheme"] == "https"
    assert host(scope) == [b"faas.example.org"]


@pytest.mark.parametrize("peer", ["203.0.113.9", "fe80::1", "127.0.0.1"])
async def test_nobody_else_does(peer: str) -> None:
    scope = await seen(peer, TOLD)
    assert scope["client"] == (peer, 40000)
    assert scope["scheme"] == "http"
    assert host(scope) == [b"127.0.0.1:8080"]
    nobody = await seen(None, TOLD, trusted=Trusted.parse("10.0.0.1"))
    assert nobody["client"] is None


async def test_who_has_left_already_is_no_proxy_at_a_unix_socket() -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    await Asgi(Forwarded(app, PROXIES), client=None)("GET /", headers=TOLD)
    assert scopes[0]["client"] is None
    assert scopes[0]["scheme"] == "http"


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (["6.6.6.6, 203.0.113.7"], "203.0.113.7"),  # the first one is the caller's own word
        (["6.6.6.6", "203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (["nonsense, 10.2.2.2"], "10.2.2.2"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["unknown"], "10.0.0.1"),
        ([" , "], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
async def test_the_last_address_counts_that_is_no_proxy(chain: list[str], client: str) -> None:
    scope = await seen("10.0.0.1", [("X-Forwarded-For", each) for each in chain])
    assert scope["client"][0] == client


async def test_odd_schemes_and_empty_hosts_change_nothing() -> None:
    scope = await seen("10.0.0.1", {"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": ""})
    assert (scope["scheme"], host(scope)) == ("http", [b"127.0.0.1:8080"])
    assert (await seen("10.0.0.1", TOLD, kind="websocket"))["scheme"] == "wss"


async def test_a_server_in_a_container_is_told_the_whole_way() -> None:
    scope = await seen("10.0.0.1", {**TOLD, "X-Forwarded-For": "6.6.6.6, 203.0.113.7"})
    told = dict(request_headers(scope, call="c", prefix="/function/web"))
    assert told[b"x-forwarded-for"] == b"6.6.6.6, 203.0.113.7, 10.0.0.1"
    assert told[b"x-forwarded-proto"] == b"https"
    assert told[b"x-forwarded-host"] == b"faas.example.org"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example.org", "", "10.0.0.1-10.0.0.9"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--trusted-proxy: .* is no address or network"):
        Trusted.parse(text, name="--trusted-proxy")


async def says_who(call: Call) -> None:
    who = " ".join(call.env[name] for name in ("REMOTE_ADDR", "HTTPS", "SERVER_NAME"))
    await call.stdout.write(f"Content-Type: text/plain\n\n{who}\n".encode())


async def test_rates_the_log_and_cgi_programs_go_by_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry: Any = Registry(deployed("cgi", image="cgi", mode="cgi"))
    registry.secrets = None
    guard = Auth(AuthOptions(call_rate=Rate(1, 3600.0)))
    async with AsyncClient(MemoryEngine({"cgi": says_who})) as client:
        service = FunctionService(client, registry)
        options = GatewayOptions(trusted=PROXIES)
        parts = Parts(service=service, functions=registry, guard=guard, options=options)
        ask = Asgi(gateway(parts, modes={"cgi": Cgi(parts)}), client=("10.0.0.1", 1))
        with caplog.at_level(logging.INFO, "wherry.access"):
            first = await ask("GET /function/cgi", headers=TOLD)
            other = await ask("GET /function/cgi", headers={**TOLD, "X-Forwarded-For": "1.1.1.1"})
            again = await ask("GET /function/cgi", headers=TOLD)
        await service.aclose()
    assert (first.status, other.status, again.status) == (200, 200, 429)
    assert first.text.split() == ["203.0.113.7", "on", "faas.example.org"]
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [each["client"] for each in lines] == ["203.0.113.7", "1.1.1.1", "203.0.113.7"]
