"""Registries that send us elsewhere for their blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import encode_basic_auth, web
from tests.support.odd_pulling import IMAGE, ME, fetch
from tests.support.registry_proxy import serving

from wherry.errors import (
    RegistryError,
)
from wherry.images.credentials import FixedCredentials

if TYPE_CHECKING:
    from tests.support.fake_registry import FakeRegistry

    from wherry.images.store import ImageStore
    from wherry.images.transport import Wire


async def test_a_redirect_elsewhere_does_not_carry_our_authorization(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    basic = encode_basic_auth("me", "s3cret")
    elsewhere: list[tuple[str, str | None, str | None]] = []

    async def storage(request: web.BaseRequest) -> web.Response:
        headers = request.headers
        elsewhere.append((request.path_qs, headers.get("Authorization"), headers.get("Cookie")))
        return web.Response(body=IMAGE.blobs[request.path[1:]])

    async with serving(storage) as other:

        async def hook(request: web.BaseRequest) -> web.Response | None:
            if request.headers.get("Authorization") != basic:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if "/blobs/" not in request.path:
                return None
            location = f"http://{other}/{request.path.rpartition('/')[2]}?sig=a%2Fb+c"
            headers = {"Location": location, "Set-Cookie": "session=1"}
            return web.Response(status=307, headers=headers)

        registry.hook = hook
        await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    assert len(elsewhere) == 2
    assert all(path.endswith("?sig=a%2Fb+c") for path, _, _ in elsewhere)
    assert [(authorization, cookie) for _, authorization, cookie in elsewhere] == [(None, None)] * 2


async def test_a_redirect_on_the_same_host_keeps_our_authorization(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    basic = encode_basic_auth("me", "s3cret")

    async def hook(request: web.BaseRequest) -> web.Response | None:
        if request.headers.get("Authorization") != basic:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        if "/blobs/" in request.path:
            return web.Response(status=302, headers={"Location": f"/kept{request.path}"})
        return None

    async def kept(request: web.BaseRequest) -> web.Response | None:
        if request.path.startswith("/kept"):
            assert request.headers.get("Authorization") == basic
            return web.Response(body=IMAGE.blobs[request.path.rpartition("/")[2]])
        return await hook(request)

    registry.hook = kept
    await fetch(store, registry, wire, credentials=FixedCredentials(registry.host, ME))
    assert len(registry.paths("/kept")) == 2


async def test_an_endless_redirect_ends(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        if "/blobs/" in request.path:
            return web.Response(status=307, headers={"Location": request.path})
        return None

    registry.hook = hook
    with pytest.raises(RegistryError, match="redirected more than 5 times"):
        await fetch(store, registry, wire)


@pytest.mark.parametrize("location", ["http://192.0.2.1/blob", "file:///etc/passwd", "ftp://x/y"])
async def test_a_redirect_to_plain_http_or_stranger_things_is_refused(
    registry: FakeRegistry, store: ImageStore, wire: Wire, location: str
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        if "/blobs/" in request.path:
            return web.Response(status=307, headers={"Location": location})
        return None

    registry.hook = hook
    with pytest.raises(RegistryError, match=r"plain HTTP|no https URL"):
        await fetch(store, registry, wire)
