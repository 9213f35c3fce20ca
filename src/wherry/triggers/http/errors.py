"""Errors as OpenFaaS's clients show them: a status and one line of plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response

from wherry.errors import (
    AlreadyExists,
    Busy,
    ConcurrencyReached,
    EngineError,
    ImageError,
    NotFound,
    StartError,
    UsageError,
    WherryError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

PLAIN = "text/plain; charset=utf-8"
_NEVER_SNIFFED = {"X-Content-Type-Options": "nosniff"}

_STATUSES: tuple[tuple[type[WherryError], int], ...] = (
    (NotFound, 404),
    (AlreadyExists, 409),
    (UsageError, 400),
    (ConcurrencyReached, 429),
    (Busy, 503),
    (EngineError, 502),
    (ImageError, 502),
    (StartError, 502),
)
"""The first that fits counts."""


class Refused(Exception):
    """A request that gets this answer and nothing else."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        return plain(self.status, self.message, headers=self.headers)


def plain(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return one line of text, and nothing that a browser could take for a page."""
    line = " ".join(message.split())
    return Response(
        f"{line}\n".encode(errors="backslashreplace"),
        status,
        headers={**_NEVER_SNIFFED, **(headers or {})},
        media_type=PLAIN,
    )


def status_of(error: WherryError) -> int:
    """Return the status that an error stands for."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def not_found(path: str) -> Response:
    """Return the answer for a path that nothing has."""
    return plain(404, f"there is no {path!r} here; functions are below /function/")


def wrong_method(method: str, *, path: str, allowed: str) -> Response:
    """Return the answer for a method that a path does not have."""
    message = f"{method} is nothing that {path!r} knows; it knows {allowed}"
    return plain(405, message, headers={"Allow": allowed})


async def answered(work: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """Do the work of a request; errors of ours become its answer."""
    try:
        return await work(request)
    except Refused as refused:
        return refused.response()
    except WherryError as error:
        return plain(status_of(error), str(error))
