"""``/healthz`` and ``/system/info``."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from wherry.triggers.http.documents import Info, Provider, Version
from wherry.triggers.http.errors import plain
from wherry.triggers.http.operations import TEXT, Operation, Reply, encoded, routes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.triggers.http.parts import Parts

_ARCHITECTURES = {"aarch64": "arm64", "amd64": "x86_64"}


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    health = _Health(parts)
    return [
        Operation(
            method="GET", path="/healthz", name="health", summary="Say that the gateway is up",
            replies={200: Reply(text="It is.", media=TEXT)}, work=health.show,
        ),
        Operation(
            method="GET", path="/system/info", name="info", summary="Say what this gateway is",
            needs="read", replies={200: Reply(text="What it is.", kind=Info)}, work=health.info,
        ),
    ]  # fmt: skip


class _Health:
    def __init__(self, parts: Parts) -> None:
        options = parts.options
        version = Version(sha=options.sha, release=options.version)
        provider = Provider(
            provider=options.title, orchestration=options.engine, version=version
        )  # fmt: skip
        machine = platform.machine()
        arch = _ARCHITECTURES.get(machine, machine)
        self._info = Info(provider=provider, version=version, arch=arch)

    async def show(self, _request: Request) -> Response:
        return plain(200, "OK")

    async def info(self, _request: Request) -> Response:
        return encoded(self._info)
