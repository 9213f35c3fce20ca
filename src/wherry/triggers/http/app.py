"""The gateway as one ASGI application: calls of functions, and everything around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Route

from wherry.functions.values import GATEWAY, first_segment
from wherry.triggers.http import (
    async_calls,
    dispatches,
    function_logs,
    health,
    metrics,
    namespaces,
    openapi,
    schedules,
    secrets,
    system,
)
from wherry.triggers.http.access import AccessLogged
from wherry.triggers.http.errors import not_found, plain, wrong_method
from wherry.triggers.http.forwarding import Forwarded
from wherry.triggers.http.guarding import Guarded
from wherry.triggers.http.invoke import INSIDE, PREFIX, Invoke
from wherry.triggers.http.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.functions.model import Mode
    from wherry.triggers.http.parts import Parts

_MODULES = (health, system, secrets, namespaces, function_logs, async_calls, schedules, dispatches,
            metrics, openapi)  # fmt: skip


def gateway(
    parts: Parts,
    *,
    modes: Mapping[Mode, ASGIApp] | None = None,
    more: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Return the application of a gateway.

    ``modes`` are what answers for functions that are no plain programs, ``more`` are routes
    besides the contract's, such as the dashboard's.
    """
    routes: list[BaseRoute] = [*more]
    for module in _MODULES:
        routes += module.routes(parts)
    rest = Starlette(
        routes=routes,
        exception_handlers={404: _not_found, 405: _wrong_method, 500: _mistake},
    )
    app: ASGIApp = _Front(Invoke(parts, modes=dict(modes or {})), Paths(parts.functions), rest)
    if parts.guard is not None:
        app = Guarded(app, parts.guard, calls=parts.calls)
    app = AccessLogged(app)
    trusted = parts.options.trusted
    return Forwarded(app, trusted) if trusted else app


def dashboard_at(path: str) -> Route:
    """Return the route that leads from ``/`` to the dashboard."""

    async def lead(request: Request) -> Response:
        return RedirectResponse(path)

    return Route("/", lead, methods=["GET"])


class _Front:
    """Calls of functions past the router, which would cost them more than all else here."""

    def __init__(self, invoke: Invoke, paths: Paths, rest: ASGIApp) -> None:
        self._invoke = invoke
        self._paths = paths
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        scope[INSIDE] = self._inside
        if path.startswith(PREFIX):
            await self._invoke(scope, receive, send)
            return
        mapped = None if _is_ours(path) else self._paths.find(path)
        if mapped is None:
            await self._rest(scope, receive, send)
            return
        deployed, below = mapped
        await self._invoke.serve(deployed, below, scope=scope, receive=receive, send=send)

    def _inside(self, path: str) -> ASGIApp | None:
        """Return what answers for a path that a program redirects to: functions alone do."""
        leads = path.startswith(PREFIX) or (
            not _is_ours(path) and self._paths.find(path) is not None
        )
        return self if leads else None


def _is_ours(path: str) -> bool:
    return first_segment(path) in GATEWAY


async def _not_found(request: Request, error: Exception) -> Response:
    return not_found(request.url.path)


async def _wrong_method(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None) or {}
    return wrong_method(
        request.method, path=request.url.path, allowed=headers.get("Allow", "others")
    )


async def _mistake(request: Request, error: Exception) -> Response:
    return plain(500, "a mistake in wherry itself; its log says more")
