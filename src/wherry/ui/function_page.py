"""``/ui/functions/NAME``: one function, and what may be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.service.outcome import status_of_error
from wherry.service.service import is_server
from wherry.ui.forms import read_fields
from wherry.ui.functions_page import problems
from wherry.ui.rendering import see
from wherry.ui.settings import settings_of
from wherry.ui.standing import charts, path_of, standing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.functions.model import Deployed
    from wherry.ui.rendering import Pages

_PATH = "/functions/{name}"
_RECENT = 10


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""
    function = _Function(pages)
    return [
        pages.route(_PATH, get=function.show),
        pages.route(f"{_PATH}/scale", post=function.scale),
        pages.route(f"{_PATH}/remove", get=function.ask, post=function.remove),
    ]


class _Function:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._dashboard = pages.dashboard

    async def show(
        self, request: Request, *, problem: str | None = None, status: int = 200
    ) -> Response:
        dashboard, deployed = self._dashboard, self._named(request)
        recent = await dashboard.calls.list(
            name=deployed.name, namespace=deployed.namespace, limit=_RECENT
        )
        return self._pages.page(
            request,
            "function.html",
            status=status,
            each=standing(dashboard, deployed),
            charts=charts(dashboard.recent, deployed.qualified),
            calls=recent,
            settings=settings_of(deployed, max_timeout=dashboard.service.max_timeout),
            problems=problems(dashboard, source=deployed.source),
            of_a_file=deployed.source != "api",
            scales=not is_server(deployed) and not deployed.deployment.pipe,
            problem=problem,
            max_upload=_max_upload(deployed, dashboard.max_upload),
        )

    async def scale(self, request: Request) -> Response:
        deployed = self._named(request)
        text = (await read_fields(request)).text("replicas").strip()
        try:
            if not (text.isascii() and text.isdecimal()):
                raise UsageError(f"replicas: {text!r} is no number of containers")
            await self._dashboard.functions.scale(
                deployed.name, namespace=deployed.namespace, replicas=int(text[:9])
            )
        except UsageError as error:
            return await self.show(request, problem=str(error), status=status_of_error(error))
        return see(path_of(deployed.qualified), note="scaled")

    async def ask(self, request: Request) -> Response:
        deployed = self._named(request)
        return self._pages.page(request, "remove.html", each=standing(self._dashboard, deployed))

    async def remove(self, request: Request) -> Response:
        deployed = self._named(request)
        await self._dashboard.functions.remove(deployed.name, namespace=deployed.namespace)
        return see("/ui/", note="removed")

    def _named(self, request: Request) -> Deployed:
        return self._dashboard.service.find(str(request.path_params["name"]))


def _max_upload(deployed: Deployed, largest: int) -> int:
    allowed = deployed.settings.max_body
    return largest if allowed is None else min(allowed, largest)
