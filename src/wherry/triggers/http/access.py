"""A line for each request: who, what, how it ended; never a body, a query, a header's secret."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from wherry.web.duplex import AnswerCut

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCESS = logging.getLogger("wherry.access")
_LONGEST = 256


class AccessLogged:
    """An application whose requests are logged to ``wherry.access``, with their data in ``extra``.

    The path is logged without its query, which may hold what is nobody else's business.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the application, and log it."""
        if scope["type"] != "http" or not ACCESS.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        answered = _Answered(send)
        began = time.monotonic()
        outcome = "error"
        try:
            await self._app(scope, receive, answered)
            outcome = "complete" if answered.complete else "left"
        except AnswerCut:
            outcome = "cut"
            raise
        finally:
            ACCESS.info(
                "request", extra={"access": _fields(scope, answered, began=began, outcome=outcome)}
            )


class _Answered:
    """Sends on, and remembers what the answer was."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.sent = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)


def _fields(scope: Scope, answered: _Answered, *, began: float, outcome: str) -> dict[str, Any]:
    client, deployed = scope.get("client"), scope.get("wherry.function")
    found = {
        "method": scope["method"],
        "path": scope["path"][:_LONGEST],
        "status": answered.status,
        "outcome": outcome,
        "bytes": answered.sent,
        "seconds": round(time.monotonic() - began, 6),
        "client": client[0] if client else None,
        "call": scope.get("wherry.call"),
        "function": deployed.qualified if deployed is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}
