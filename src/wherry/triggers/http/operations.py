"""The table that both the routes and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.triggers.http.errors import answered, wrong_method

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

Work = Callable[[Request], Awaitable[Response]]

JSON = "application/json"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of an operation."""

    text: str
    kind: Any = None
    """Its type; None: text, or nothing."""
    media: str | None = None
    """None: JSON with a ``kind``, else plain text."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names to what they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    """Its ``operationId``."""
    summary: str
    replies: Mapping[int, Reply]
    text: str = ""
    needs: str | None = None
    """The scope; None: open to everybody."""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    raw: bool = False
    """Whether it takes any bytes as its body."""
    work: Work | None = None
    """None: it is documented here and answered elsewhere."""


def routes_of(operations: Iterable[Operation]) -> list[Route]:
    """Return one route for each path; a method that it does not have is a 405 with ``Allow``."""
    by_path: dict[str, dict[str, Work]] = {}
    for operation in operations:
        if operation.work is not None:
            by_path.setdefault(operation.path, {})[operation.method] = operation.work
    return [_route(path, works) for path, works in by_path.items()]


def _route(path: str, works: Mapping[str, Work]) -> Route:
    known = {**works, "HEAD": works["GET"]} if "GET" in works else works
    allowed = ", ".join(sorted(known))

    async def endpoint(request: Request) -> Response:
        work = known.get(request.method)
        if work is None:
            return wrong_method(request.method, path=request.url.path, allowed=allowed)
        return await answered(work, request)

    # Not ``methods=``: a router answers for a method that one route does not have by itself,
    # in words of its own and with a part of what is allowed.
    return Route(path, _Endpoint(endpoint), include_in_schema=False)


class _Endpoint:
    """An ASGI application, which a route hands every method."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._work(request)
        await response(scope, receive, send)


def encoded(value: object, *, status: int = 200) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type=JSON)
