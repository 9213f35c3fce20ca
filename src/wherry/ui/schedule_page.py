"""``/ui/schedules/NAME``: one schedule, its runs, and the orders that can be given about it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from wherry.errors import NotFound, UsageError
from wherry.ui.formats import text_of
from wherry.ui.forms import read_fields
from wherry.ui.rendering import HEADERS, see
from wherry.ui.scheduled import MARKS, mark_of
from wherry.ui.schedules_page import path_of
from wherry.ui.weeks import days_of, legend, week_start

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from wherry.ui.rendering import Pages
    from wherry.ui.scheduled import Planned, Ran, Scheduled

_ONE = "/schedules/{name}"
_RUN = f"{_ONE}/runs/{{id}}"
_STEP = 1800.0
"""Seconds that are one shape of the picture."""
_COMING = 5
_TODAY = 100
"""Ticks that are drawn of the rest of today."""
_RECENT = 20
_LIVE = 64 * 1024
"""Bytes of the end of each stream that are shown while a run goes on."""


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here; none without schedules."""
    if pages.dashboard.schedules is None:
        return []
    schedule = _Schedule(pages, pages.dashboard.schedules)
    return [
        pages.route(_ONE, get=schedule.show),
        pages.route(f"{_ONE}/run", post=schedule.start),
        pages.route(f"{_ONE}/pause", post=schedule.pause),
        pages.route(f"{_ONE}/resume", post=schedule.resume),
        pages.route(_RUN, get=schedule.show_run),
        pages.route(f"{_RUN}/{{stream}}", get=schedule.output),
    ]


class _Schedule:
    def __init__(self, pages: Pages, schedules: Scheduled) -> None:
        self._pages = pages
        self._schedules = schedules

    async def show(self, request: Request) -> Response:
        schedule = self._named(request)
        before = request.query_params.get("before", "")
        found = await self._schedules.runs(schedule.name, before=_number(before), limit=_RECENT + 1)
        now = self._pages.now()
        since = week_start(now)
        counted = await self._schedules.tallies([schedule.name], since=since, step=_STEP)
        coming = self._schedules.coming(schedule.name, count=_TODAY)
        days = days_of(counted, coming=coming, since=since, step=_STEP, now=now)
        more = f"?before={found[_RECENT - 1].number}" if len(found) > _RECENT else None
        return self._pages.page(
            request,
            "schedule.html",
            schedule=schedule,
            path=path_of(schedule.name),
            days=days,
            marks=MARKS,
            legend=legend(),
            coming=coming[:_COMING],
            runs=found[:_RECENT],
            run_path=run_path,
            mark_of=mark_of,
            more=more,
            is_first=not before,
        )

    async def start(self, request: Request) -> Response:
        run = await self._schedules.start(self._named(request).name)
        return see(run_path(run), note="began")

    async def pause(self, request: Request) -> Response:
        return await self._paused(request, paused=True)

    async def resume(self, request: Request) -> Response:
        return await self._paused(request, paused=False)

    async def _paused(self, request: Request, *, paused: bool) -> Response:
        name = self._named(request).name
        back = (await read_fields(request)).text("back")
        await self._schedules.pause(name, paused=paused)
        path = "/ui/schedules" if back == "all" else path_of(name)
        return see(path, note="paused" if paused else "resumed")

    async def show_run(self, request: Request) -> Response:
        run = await self._run(request)
        is_open = mark_of(run.status) == "running"
        most = _LIVE if is_open else self._pages.dashboard.max_shown
        return self._pages.page(
            request,
            "schedule_run.html",
            run=run,
            schedule_path=path_of(run.name),
            path=run_path(run),
            is_open=is_open,
            mark=mark_of(run.status),
            streams=[
                (name, text_of(data[-most:]), len(data) > most)
                for name, data in (("stdout", run.stdout), ("stderr", run.stderr))
            ],
        )

    async def output(self, request: Request) -> Response:
        stream = str(request.path_params["stream"])
        run = await self._run(request)
        if stream not in ("stdout", "stderr"):
            raise NotFound(f"a run has no {stream!r}")
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{stream}"'}
        data = run.stdout if stream == "stdout" else run.stderr
        return Response(data, headers=headers, media_type="application/octet-stream")

    async def _run(self, request: Request) -> Ran:
        return await self._schedules.run(self._named(request).name, str(request.path_params["id"]))

    def _named(self, request: Request) -> Planned:
        return self._schedules.get(str(request.path_params["name"]))


def run_path(run: Ran) -> str:
    """Return where a run's page is."""
    return f"{path_of(run.name)}/runs/{quote(run.id, safe='')}"


def _number(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return int(text[:18])
    raise UsageError(f"before: {text!r} is no number of a run")
