"""Registries that want a token of a service of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import BasicAuth, encode_basic_auth, web
from tests.support.odd_pulling import ME, fetch

from wherry.errors import (
    AuthenticationRequired,
    ImageNotFound,
    RegistryError,
)
from wherry.images.credentials import Credentials, FixedCredentials
from wherry.images.login import login

if TYPE_CHECKING:
    from tests.support.fake_registry import FakeRegistry

    from wherry.images.store import ImageStore
    from wherry.images.transport import Wire


def token_service(
    registry: FakeRegistry, *, wanted: str | None, life: int = 300
) -> list[tuple[str, str]]:
    """Make a registry want tokens of a service of its own; returns the realm requests it saw."""
    given: list[tuple[str, str]] = []

    async def hook(request: web.BaseRequest) -> web.Response | None:
        if request.path == "/token":
            given.append((request.method, request.headers.get("Authorization", "")))
            if wanted and request.headers.get("Authorization") != wanted:
                return web.json_response({"details": "no"}, status=401)
            return web.json_response({"token": f"t{len(given)}", "expires_in": life})
        if request.headers.get("Authorization") == f"Bearer t{len(given)}" and given:
            return None
        challenge = f'Bearer realm="http://{registry.host}/token",service="fake, \\"quoted\\""'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    registry.hook = hook
    return given


async def test_an_anonymous_token_is_fetched_once_for_the_repository(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    given = token_service(registry, wanted=None)
    await fetch(store, registry, wire)
    assert given == [("GET", "")]
    (asked,) = registry.paths("/token")
    assert asked.query == {"service": 'fake, "quoted"', "scope": "repository:any:pull"}
    assert {asked.authorization for asked in registry.paths("/blobs/")} == {"Bearer t1"}


async def test_a_password_goes_to_the_token_service_and_nowhere_else(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    basic = encode_basic_auth("me", "s3cret")
    given = token_service(registry, wanted=basic)
    await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    assert given == [("GET", basic)]
    rest = [asked for asked in registry.asked if asked.path != "/token"]
    assert all(asked.authorization != basic for asked in rest)


async def test_a_password_that_the_token_service_refuses_is_told(
    registry: FakeRegistry, store: ImageStore, wire: Wire, tmp_path: Path
) -> None:
    token_service(registry, wanted="Basic other")
    with pytest.raises(AuthenticationRequired, match="does not accept the credentials of 'me'"):
        await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    with pytest.raises(AuthenticationRequired):
        await login(registry.host, ME, file=tmp_path / "auth.json", wire=wire)
    assert not (tmp_path / "auth.json").exists()


async def test_logging_in_works_with_a_token_service(
    registry: FakeRegistry, tmp_path: Path, wire: Wire
) -> None:
    token_service(registry, wanted=encode_basic_auth("me", "s3cret"))
    await login(registry.host, ME, file=tmp_path / "auth.json", wire=wire)
    stored = json.loads((tmp_path / "auth.json").read_text())["auths"][registry.host]["auth"]
    assert BasicAuth.decode(f"Basic {stored}").login == "me"


async def test_nobody_s_token_refused_means_not_there_or_log_in(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    token_service(registry, wanted="Basic other")
    with pytest.raises(ImageNotFound, match="check the name or run `wherry login"):
        await fetch(store, registry, wire)


async def test_an_identity_token_is_exchanged_by_post(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    given = token_service(registry, wanted=None)
    identity = Credentials("", "refresh-me", "identity")
    await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, identity))
    assert given == [("POST", "")]
    (asked,) = registry.paths("/token")
    assert asked.form == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-me",
        "service": 'fake, "quoted"',
        "scope": "repository:any:pull",
        "client_id": "wherry",
    }


async def test_a_token_that_ended_early_is_renewed_once_for_everybody(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    given = token_service(registry, wanted=None)
    issue = registry.hook
    assert issue
    refused = False

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal refused
        if "/blobs/" in request.path and not refused:
            refused = True
            challenge = (
                f'Bearer realm="http://{registry.host}/token",scope="repository:any:pull,more"'
            )
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if "/blobs/" in request.path:
            return None
        return await issue(request)

    registry.hook = hook
    await fetch(store, registry, wire)
    assert len(given) == 2
    assert registry.paths("/token")[1].query["scope"] == "repository:any:pull,more"


async def test_a_token_refused_twice_is_not_there_for_us(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    issue = token_service(registry, wanted=None)

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        if request.path == "/token":
            issue.append(("GET", ""))
            return web.json_response({"access_token": "useless"})
        challenge = f'Bearer realm="http://{registry.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    registry.hook = hook
    with pytest.raises(ImageNotFound, match="is not on"):
        await fetch(store, registry, wire)
    assert len(issue) == 2


async def test_an_unknown_scheme_of_authentication_is_named(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        return web.Response(status=401, headers={"WWW-Authenticate": "Negotiate"})

    registry.hook = hook
    with pytest.raises(RegistryError, match="'Negotiate'"):
        await fetch(store, registry, wire)
