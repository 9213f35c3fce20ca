"""The guard in front of everything: what is not known to be open needs to be allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.triggers.http.origins import SAFE
from wherry.triggers.http.scopes import ADMIN, DEPLOY, READ

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.triggers.http.auth import Auth

_GUARDED = ("/system", "/ui", "/metrics", "/openapi.json")


class Guarded:
    """An application behind its guard.

    ``/system``, ``/ui``, ``/metrics`` and the document of the interface need a scope by path
    and method. Calls of functions are left to who finds out which function it is
    (:meth:`wherry.triggers.http.auth.Auth.call_refusal`).
    """

    def __init__(self, app: ASGIApp, guard: Auth) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application, or let it answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = await self._guard.knock(scope)
        needs = needed(scope["path"], scope.get("method", "GET"))
        if refusal is None and needs is not None:
            refusal = await self._guard.system_refusal(scope, needs=needs)
        await (refusal or self._app)(scope, receive, send)


def needed(path: str, method: str) -> str | None:
    """Return the scope that a request needs before its route is asked; None for none."""
    if not any(path == prefix or path.startswith(f"{prefix}/") for prefix in _GUARDED):
        return None
    if path.startswith("/system/namespace/") and method not in SAFE:
        return ADMIN
    return READ if method in SAFE else DEPLOY
