"""``/ui/``: all functions, and how the server does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wherry.ui.standing import charts, standing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.functions.model import Deployed
    from wherry.service.recent import Recent
    from wherry.ui.parts import Dashboard
    from wherry.ui.rendering import Pages

ORDERS = ("name", "rate", "p99", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One page of a long list."""

    number: int
    pages: int
    first: int
    last: int
    total: int

    @classmethod
    def of(cls, asked: str, *, total: int, per_page: int) -> Window:
        """Return the page that is asked for, or the nearest that there is."""
        pages = max(1, -(-total // per_page))
        wanted = int(asked[:9]) if asked.isascii() and asked.isdecimal() else 1
        number = min(max(wanted, 1), pages)
        first = (number - 1) * per_page
        return cls(
            number=number,
            pages=pages,
            first=first,
            last=min(first + per_page, total),
            total=total,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a file of functions, or with a function."""

    where: str
    said: str
    meaning: str


_GOES_ON = "What it declared before goes on."
_NOT_SERVED = "The function is not served until it is deployed anew."


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""
    overview = _Overview(pages)
    return [pages.route("/", get=overview.show)]


class _Overview:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._dashboard = pages.dashboard

    async def show(self, request: Request) -> Response:
        dashboard, query = self._dashboard, request.query_params
        everything = dashboard.functions.list()
        order = query.get("order", "name")
        found = _chosen(everything, query.get("q", ""), namespace=query.get("namespace", ""))
        found = _sorted(found, order, recent=dashboard.recent)
        window = Window.of(query.get("page", ""), total=len(found), per_page=dashboard.per_page)
        shown = [standing(dashboard, each) for each in found[window.first : window.last]]
        stats = await dashboard.calls.stats()
        return self._pages.page(
            request,
            "functions.html",
            functions=shown,
            window=window,
            order=order if order in ORDERS else "name",
            query={name: query.get(name, "") for name in ("q", "namespace")},
            address=_address(query),
            namespaces=dashboard.functions.namespaces(),
            deployed=len(everything),
            summary=dashboard.recent.summary(),
            charts=charts(dashboard.recent),
            running=dashboard.service.admission.running,
            waiting=dashboard.service.admission.waiting,
            stats=stats,
            problems=problems(dashboard),
        )


def problems(dashboard: Dashboard, *, source: str | None = None) -> list[Problem]:
    """Return what is wrong with files and functions; of one file alone with ``source``."""
    files = dashboard.files.problems if dashboard.files is not None else {}
    found = [Problem(str(path), said, _GOES_ON) for path, said in files.items()]
    if source is not None:
        return [each for each in found if each.where == source]
    broken = sorted(dashboard.functions.problems.items())
    return found + [Problem(name, said, _NOT_SERVED) for name, said in broken]


def _chosen(functions: Sequence[Deployed], text: str, *, namespace: str) -> list[Deployed]:
    wanted = text.strip().lower()
    return [
        each
        for each in functions
        if namespace in ("", each.namespace)
        and (wanted in each.qualified.lower() or wanted in each.deployment.image.lower())
    ]


def _sorted(functions: list[Deployed], order: str, *, recent: Recent) -> list[Deployed]:
    """Return them in an order; of those nobody called, none needs to be looked at."""
    if order not in ORDERS or order == "name":
        return functions
    active = recent.active()
    busy = {each.qualified: recent.summary(each.qualified) for each in functions
            if each.qualified in active}  # fmt: skip
    keys: dict[str, Callable[[Any], float]] = {
        "rate": lambda summary: summary.rate,
        "p99": lambda summary: summary.p99 or 0.0,
        "errors": lambda summary: summary.failing,
    }

    def key(each: Deployed) -> float:
        return -keys[order](busy[each.qualified]) if each.qualified in busy else 0.0

    return sorted(functions, key=key)


def _address(query: Any) -> Callable[..., str]:  # noqa: ANN401 - a QueryParams or a mapping
    """Return what writes the address of the same list, but for what is given."""

    def address(**changes: object) -> str:
        kept = {name: query.get(name, "") for name in ("q", "namespace", "order", "page")}
        asked = {name: str(value) for name, value in {**kept, **changes}.items() if value}
        return f"?{urlencode(asked)}"

    return address
