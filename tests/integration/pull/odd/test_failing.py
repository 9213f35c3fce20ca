"""Registries that are busy, broken, silent, or no registry."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from tests.support.odd_pulling import BIG, IMAGE, Waits, fetch

from wherry.errors import (
    ImageCorrupt,
    RegistryError,
)

if TYPE_CHECKING:
    from tests.support.fake_registry import FakeRegistry

    from wherry.images.store import ImageStore
    from wherry.images.transport import Wire


async def test_a_busy_registry_is_asked_again_when_it_says(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    answers = [
        web.Response(status=429, headers={"Retry-After": "7"}),
        web.Response(status=503),
        web.Response(status=502),
    ]

    async def hook(request: web.BaseRequest) -> web.Response | None:
        return answers.pop(0) if "/manifests/" in request.path and answers else None

    registry.hook = hook
    await fetch(store, registry, wire)
    assert waits.made == [7.0, 1.0, 2.0]


async def test_a_registry_that_stays_broken_is_given_up_with_its_own_words(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        body = {"errors": [{"code": "TOOMANYREQUESTS", "message": "come\x1b[31m back later"}]}
        return web.json_response(body, status=429) if "/manifests/" in request.path else None

    registry.hook = hook
    with pytest.raises(RegistryError) as caught:
        await fetch(store, registry, wire)
    assert "429 Too Many Requests" in str(caught.value)
    assert "TOOMANYREQUESTS: come[31m back later" in str(caught.value)
    assert len(registry.paths("/manifests/")) == wire.retries.attempts
    assert waits.made == [0.5, 1.0, 2.0, 4.0]


async def test_a_registry_that_wants_an_hour_is_given_up_at_once(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        return web.Response(status=429, headers={"Retry-After": "3600"})

    registry.hook = hook
    with pytest.raises(RegistryError, match="429"):
        await fetch(store, registry, wire)
    assert waits.made == []


async def test_a_blob_that_is_cut_again_and_again_is_resumed_every_time(
    registry: FakeRegistry, store: ImageStore, wire: Wire, waits: Waits
) -> None:
    registry.add(BIG, "big")
    layer = BIG.layers[0]
    size = len(BIG.blobs[layer])

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        if not request.path.endswith(layer):
            return None
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        response.content_length = size - start
        await response.prepare(request)
        await response.write(BIG.blobs[layer][start : start + 200_000])
        assert request.transport
        request.transport.close()
        return response

    registry.hook = hook
    await fetch(store, registry, wire, tag="big")
    ranges = [asked.range for asked in registry.paths(layer)]
    assert len(ranges) == len(set(ranges)) == -(-size // 200_000)
    assert set(waits.made) == {0.5}, "progress starts the count of attempts again"


async def test_a_registry_without_ranges_sends_the_blob_from_its_start(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    registry.add(BIG, "big")
    registry.ranges = False
    layer = BIG.layers[0]
    cut = True

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal cut
        if not request.path.endswith(layer) or not cut:
            return None
        cut = False
        response = web.StreamResponse()
        response.content_length = len(BIG.blobs[layer])
        await response.prepare(request)
        await response.write(BIG.blobs[layer][:500_000])
        assert request.transport
        request.transport.close()
        return response

    registry.hook = hook
    pulled = await fetch(store, registry, wire, tag="big")
    assert [asked.range for asked in registry.paths(layer)] == [None, "bytes=500000-"]
    assert (pulled.rootfs / "big").stat().st_size == 2 << 20


async def test_a_blob_longer_than_it_may_be_is_cut_off_early(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    layer = IMAGE.layers[0]
    sent = 0

    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        nonlocal sent
        if not request.path.endswith(layer):
            return None
        response = web.StreamResponse()  # chunked: nobody knows how long it will be
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(65536))
                sent += 65536
        except ConnectionError:
            return response

    registry.hook = hook
    with pytest.raises(ImageCorrupt, match=layer):
        await fetch(store, registry, wire)
    assert sent < 64 << 20
    assert not store.blobs.has(layer)


async def test_a_missing_blob_names_the_blob(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    del registry.blobs[IMAGE.layers[0]]
    with pytest.raises(ImageCorrupt, match=f"has no blob {IMAGE.layers[0]}"):
        await fetch(store, registry, wire)


async def test_a_registry_that_falls_silent_is_left_after_the_read_timeout(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.StreamResponse | None:
        if "/blobs/" not in request.path:
            return None
        response = web.StreamResponse()
        response.content_length = len(IMAGE.blobs[request.path.rpartition("/")[2]])
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    registry.hook = hook
    begun = time.monotonic()
    with pytest.raises(RegistryError, match="did not answer in time"):
        await fetch(store, registry, replace(wire, read_timeout=0.05))
    assert time.monotonic() - begun < 5


async def test_an_answer_that_is_no_registry_s_is_told(
    registry: FakeRegistry, store: ImageStore, wire: Wire
) -> None:
    async def hook(request: web.BaseRequest) -> web.Response | None:
        return web.Response(status=404, text="<html>nginx</html>", content_type="text/html")

    registry.hook = hook
    with pytest.raises(RegistryError, match="is not an image registry"):
        await fetch(store, registry, wire)
