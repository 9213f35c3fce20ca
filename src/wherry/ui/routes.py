"""All pages of the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse
from starlette.routing import Route

from wherry.errors import NotFound
from wherry.ui import (
    calls_page,
    deploy_form,
    function_page,
    functions_page,
    invoking,
    queue_page,
    schedule_page,
    schedules_page,
    statics,
)
from wherry.ui.rendering import Pages

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from wherry.ui.parts import Dashboard

_MODULES = (
    statics,
    functions_page,
    deploy_form,
    invoking,
    function_page,
    calls_page,
    queue_page,
    schedules_page,
    schedule_page,
)


def dashboard_routes(dashboard: Dashboard) -> list[Route]:
    """Return the routes below ``/ui``."""
    pages = Pages(dashboard)
    found = [Route("/ui", _lead, methods=["GET"], include_in_schema=False)]
    for module in _MODULES:
        found += module.routes(pages)
    return [*found, pages.route("/{rest:path}", get=_nothing, post=_nothing)]


async def _lead(request: Request) -> Response:
    return RedirectResponse("/ui/")


async def _nothing(request: Request) -> Response:
    raise NotFound(f"there is no page {request.url.path!r}")
