"""Pages: templates, what every page needs, and the headers that keep a browser safe."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.errors import WherryError
from wherry.service.outcome import status_of_error
from wherry.ui import formats
from wherry.ui.navigation import sections
from wherry.ui.parts import Viewer

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.ui.parts import Dashboard

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
NOTES = {
    "deployed": "It is deployed, and can be called.",
    "removed": "The function is removed.",
    "scaled": "The number of ready containers is changed.",
    "cancelled": "The call is asked to end.",
    "retried": "The call is queued again.",
    "requeued": "The calls are queued again.",
    "queued": "The call is queued. This page follows it.",
    "began": "The run begins. This page follows it.",
    "paused": "The schedule is paused: it runs again when it is resumed.",
    "resumed": "The schedule runs again from now on.",
}
"""What a page says after an order was carried out, by the word in its address: never text of it."""

Work = Callable[[Request], Awaitable[Response]]


@cache
def environment() -> Environment:
    """Return the templates; Jinja2 is loaded with the first page that is asked for."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("visible", "text_of", "seconds", "rate", "percent", "count", "size"):
        made.filters[name] = getattr(formats, name)
    made.filters |= {"iso": formats.iso, "clock": formats.clock, "day": formats.day}
    return made


@cache
def assets() -> str:
    """Return what tells the style sheet and the script from those of another version."""
    content = b"".join(path.read_bytes() for path in sorted((HERE / "static").iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


class Pages:
    """Renders the templates of one dashboard."""

    def __init__(self, dashboard: Dashboard, *, clock: Callable[[], float] = time.time) -> None:
        self.dashboard = dashboard
        self._clock = clock
        self._sections = sections(dashboard)

    def now(self) -> float:
        """Return this moment, as pages know it."""
        return self._clock()

    def text(self, request: Request, name: str, **values: object) -> str:
        """Return a page, or what of it is live where the query says ``part=live``."""
        now = self._clock()
        query = request.query_params
        shared: dict[str, Any] = {
            "layout": "bare.html" if _is_part(request) else "base.html",
            "sections": self._sections,
            "here": request.url.path,
            "live": live_address(request.url.path, query),
            "viewer": Viewer.of(request.scope, self.dashboard.guard),
            "note": NOTES.get(query.get("note", "")),
            "version": self.dashboard.version,
            "assets": assets(),
            "origin": f"{request.url.scheme}://{request.url.netloc}",
            "now": now,
            "ago": lambda moment: formats.ago(moment, now),
        }
        return environment().get_template(name).render({**shared, **values})

    def page(self, request: Request, name: str, *, status: int = 200, **values: object) -> Response:
        """Return a page as an answer."""
        return html(self.text(request, name, **values), status=status)

    def failure(self, request: Request, error: WherryError) -> Response:
        """Return the page that says why something could not be done."""
        status = status_of_error(error)
        return self.page(request, "problem.html", status=status, problem=str(error), code=status)

    def route(self, path: str, **works: Work) -> Route:
        """Return a route of the dashboard; ``get`` and ``post`` are what answers.

        Errors of ours become a page.
        """
        known = {name.upper(): work for name, work in works.items()}

        async def answer(request: Request) -> Response:
            work = known.get("GET" if request.method == "HEAD" else request.method)
            if work is None:
                allowed = ", ".join(sorted(known))
                return html(f"{allowed} is known here", status=405, headers={"Allow": allowed})
            try:
                return await work(request)
            except WherryError as error:
                return self.failure(request, error)

        return Route(f"/ui{path}", _Endpoint(answer), include_in_schema=False)


class _Endpoint:
    """An ASGI application, which a route hands every method."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: ASGIApp = await self._work(Request(scope, receive, send))
        await response(scope, receive, send)


def html(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a page with the headers that every page has."""
    return Response(
        text.encode(errors="backslashreplace"),
        status,
        headers={**HEADERS, **(headers or {})},
        media_type="text/html; charset=utf-8",
    )


def see(path: str, *, note: str) -> Response:
    """Lead on to a page after an order was carried out, so that reloading does not repeat it."""
    assert note in NOTES
    mark = "&" if "?" in path else "?"
    return Response(status_code=303, headers={**HEADERS, "Location": f"{path}{mark}note={note}"})


def _is_part(request: Request) -> bool:
    return request.method != "POST" and request.query_params.get("part") == "live"


def live_address(path: str, query: QueryParams) -> str:
    """Return where a page's live part is found."""
    kept = [(key, value) for key, value in query.multi_items() if key not in ("part", "note")]
    return f"{path}?{QueryParams([*kept, ('part', 'live')])}"
