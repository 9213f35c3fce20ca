"""Errors as OpenFaaS's clients show them: a status and one line of plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response

from wherry.errors import WherryError
from wherry.service.outcome import status_of_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

PLAIN = "text/plain; charset=utf-8"
_NEVER_SNIFFED = {"X-Content-Type-Options": "nosniff"}


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
        return plain(status_of_error(error), str(error))
