"""A registry made by hand, for what a real one never does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from tests.support.oci_layout import BuiltImage, digest_of
from tests.support.registry_proxy import serving

Hook = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]
_RANGE = re.compile(r"bytes=(\d+)-")


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    query: dict[str, str]
    authorization: str | None
    range: str | None
    form: dict[str, str]


@dataclass
class FakeRegistry:
    """Blobs and manifests by name, and a hook that may answer in their place."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    hook: Hook | None = None
    stated_digest: str | None = None
    ranges: bool = True

    def add(self, image: BuiltImage, tag: str = "latest") -> None:
        """Have an image under a tag and under its digest."""
        self.blobs |= image.blobs
        self.add_manifest(image.manifest, "application/vnd.oci.image.manifest.v1+json", tag)

    def add_manifest(self, data: bytes, media_type: str, tag: str) -> None:
        """Have a manifest under a tag and under its digest."""
        self.manifests[tag] = self.manifests[digest_of(data)] = (data, media_type)

    def paths(self, part: str) -> list[Asked]:
        """Return the requests whose path has a part in it."""
        return [asked for asked in self.asked if part in asked.path]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        headers = request.headers
        self.asked.append(
            Asked(
                request.path,
                dict(request.query),
                headers.get("Authorization"),
                headers.get("Range"),
                form,
            )
        )
        if self.hook and (answer := await self.hook(request)):
            return answer
        kind, _, name = request.path.partition("/v2/any/")[2].partition("/")
        if request.path == "/v2/":
            return web.Response()
        if kind == "manifests" and name in self.manifests:
            data, media_type = self.manifests[name]
            stated = self.stated_digest or digest_of(data)
            return web.Response(
                body=data,
                headers={"Content-Type": media_type, "Docker-Content-Digest": stated},
            )
        if kind == "blobs" and name in self.blobs:
            return self._blob(self.blobs[name], headers.get("Range", ""))
        return web.Response(status=404)

    def _blob(self, data: bytes, wanted: str) -> web.Response:
        match = _RANGE.fullmatch(wanted)
        if not match or not self.ranges:
            return web.Response(body=data)
        start = int(match[1])
        if start >= len(data):
            return web.Response(status=416)
        content_range = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return web.Response(status=206, body=data[start:], headers={"Content-Range": content_range})


@asynccontextmanager
async def fake_registry(**options: object) -> AsyncIterator[FakeRegistry]:
    """Serve a fake registry whose one repository is called ``any``."""
    registry = FakeRegistry()
    async with serving(registry.handle, **options) as host:
        registry.host = host
        yield registry
