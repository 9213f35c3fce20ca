"""``/ui/static``: the style sheet, the script and the icon."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from starlette.responses import Response

from wherry.errors import NotFound
from wherry.ui.rendering import HEADERS, HERE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from wherry.ui.rendering import Pages

KINDS = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Files to their media types: these and no others."""


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""
    return [pages.route("/static/{name}", get=_file)]


async def _file(request: Request) -> Response:
    name = str(request.path_params["name"])
    if name not in KINDS:
        raise NotFound(f"there is no file {name!r}")
    # The address of a file carries the version, so a browser may keep it.
    headers = {**HEADERS, "Cache-Control": "private, max-age=86400"}
    return Response(_content(name), headers=headers, media_type=KINDS[name])


@cache
def _content(name: str) -> bytes:
    return (HERE / "static" / name).read_bytes()
