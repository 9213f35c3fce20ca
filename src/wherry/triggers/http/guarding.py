"""The guard in front of everything: what is not known to be open needs to be allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from wherry.errors import NotFound
from wherry.triggers.http.auth import CALLER, Caller
from wherry.triggers.http.origins import SAFE
from wherry.triggers.http.scopes import ADMIN, DEPLOY, READ, invoke, invokes

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.calls.model import CallRecord
    from wherry.triggers.http.auth import Auth

_GUARDED = ("/system", "/ui", "/metrics", "/openapi.json")
_OWN = frozenset({"GET", "HEAD", "DELETE"})
_CALL = re.compile(r"/system/calls/([^/]+)(?:/result)?")
_SCHEDULED = re.compile(r"/system/schedules(?:/[^/]*)?")
"""What defines schedules: they may run programs beside functions."""


class Calls(Protocol):
    """What is asked of a :class:`wherry.calls.store.CallStore`."""

    async def get(self, id: str) -> CallRecord:  # noqa: A002 - as there
        """Return a call; raises :class:`NotFound`."""
        ...


class Guarded:
    """An application behind its guard.

    ``/system``, ``/ui``, ``/metrics`` and the document of the interface need a scope by path
    and method. Calls of functions are left to who finds out which function it is
    (:meth:`wherry.triggers.http.auth.Auth.call_refusal`). Who may invoke a function may also see
    and cancel a call of it whose id they know.
    """

    def __init__(self, app: ASGIApp, guard: Auth, *, calls: Calls | None = None) -> None:
        self._app = app
        self._guard = guard
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application, or let it answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = await self._guard.knock(scope)
        needs = needed(scope["path"], scope.get("method", "GET"))
        if refusal is None and needs is not None:
            refusal = await self._guard.system_refusal(scope, needs=needs)
            if refusal is not None and refusal.status_code == 403:
                refusal = await self._own_call(scope, refusal)
        await (refusal or self._app)(scope, receive, send)

    async def _own_call(self, scope: Scope, refusal: Response) -> Response | None:
        """Return None when it is about a call of a function that the caller may invoke."""
        asked = _CALL.fullmatch(scope["path"])
        caller = scope.get(CALLER)
        if self._calls is None or asked is None or scope.get("method") not in _OWN:
            return refusal
        if not isinstance(caller, Caller) or not invokes(caller.scopes):
            return refusal
        try:
            record = await self._calls.get(asked[1])
        except NotFound:
            return refusal  # the same answer, so that nobody learns which ids there are
        needs = invoke(record.qualified)
        if not caller.may(needs):
            return refusal
        return await self._guard.system_refusal(scope, needs=needs)


def needed(path: str, method: str) -> str | None:
    """Return the scope that a request needs before its route is asked; None for none."""
    if not any(path == prefix or path.startswith(f"{prefix}/") for prefix in _GUARDED):
        return None
    is_defining = path.startswith("/system/namespace/") or _SCHEDULED.fullmatch(path)
    if is_defining and method not in SAFE:
        return ADMIN
    return READ if method in SAFE else DEPLOY
