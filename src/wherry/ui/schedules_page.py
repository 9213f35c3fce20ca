"""``/ui/schedules``: all schedules with their week, and what runs next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from wherry.errors import NotFound
from wherry.ui.functions_page import Window
from wherry.ui.weeks import DAYS, in_words, legend, strip_of, totals, week_start

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.ui.rendering import Pages
    from wherry.ui.scheduled import Counted, Planned, Scheduled
    from wherry.ui.weeks import Strip

_STEP = 7200.0
"""Seconds that are one shape of the picture."""
_NEXT = 8


@dataclass(frozen=True, slots=True)
class Week:
    """A schedule, with what came of it in the last days."""

    schedule: Planned
    strip: Strip
    said: str
    is_failing: bool

    @property
    def path(self) -> str:
        """Where its page is."""
        return path_of(self.schedule.name)


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here; none without schedules."""
    schedules = pages.dashboard.schedules
    if schedules is None:
        return []
    return [pages.route("/schedules", get=_Overview(pages, schedules).show)]


def path_of(name: str) -> str:
    """Return where a schedule's page is."""
    return f"/ui/schedules/{quote(name, safe='')}"


class _Overview:
    def __init__(self, pages: Pages, schedules: Scheduled) -> None:
        self._pages = pages
        self._schedules = schedules

    async def show(self, request: Request) -> Response:
        query, per_page = request.query_params, self._pages.dashboard.per_page
        text = query.get("q", "")
        everything = self._schedules.names()
        wanted = [name for name in everything if text.strip().lower() in name.lower()]
        window = Window.of(query.get("page", ""), total=len(wanted), per_page=per_page)
        return self._pages.page(
            request,
            "schedules.html",
            weeks=await self._weeks(wanted[window.first : window.last]),
            window=window,
            total=len(everything),
            query=text,
            address=lambda page: f"?{urlencode({'q': text, 'page': str(page)})}",
            next=[(when, name, path_of(name)) for when, name in self._schedules.next(_NEXT)],
            problems=self._schedules.problems,
            legend=legend(),
            days=DAYS,
        )

    async def _weeks(self, names: list[str]) -> list[Week]:
        now = self._pages.now()
        since = week_start(now)
        found: dict[str, list[Counted]] = {name: [] for name in names}
        for each in await self._schedules.tallies(names, since=since, step=_STEP):
            found[each.name].append(each)
        made = []
        for name, counted in found.items():
            try:
                schedule = self._schedules.get(name)
            except NotFound:  # it was removed meanwhile
                continue
            tally = totals(counted)
            strip = strip_of(counted, since=since, step=_STEP, now=now)
            made.append(Week(schedule, strip, in_words(tally), tally["failed"] > 0))
        return made
