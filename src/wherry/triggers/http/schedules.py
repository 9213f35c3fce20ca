"""``/system/schedules``: what is run by time, and what came of it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.responses import Response

from wherry.triggers.cron.model import Definition
from wherry.triggers.cron.store import RunFilter
from wherry.triggers.cron.syntax import preview
from wherry.triggers.http.bodies import read_document, read_query
from wherry.triggers.http.call_documents import WaitQuery
from wherry.triggers.http.errors import plain
from wherry.triggers.http.operations import Operation, Reply, encoded, routes_of
from wherry.triggers.http.schedule_documents import (
    NextQuery,
    RunDocument,
    RunsQuery,
    ScheduleDocument,
    ScheduleList,
    moment,
    run_of,
    schedule_of,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from wherry.triggers.cron.model import Run
    from wherry.triggers.cron.outputs import Outputs
    from wherry.triggers.cron.service import Schedules
    from wherry.triggers.http.parts import Parts

_ALL = "/system/schedules"
_ONE = f"{_ALL}/{{schedule}}"
_RUN = f"{_ONE}/runs/{{id}}"
_NONE = Reply(text="There is no such schedule.")
_NO_RUN = Reply(text="There is no such run.")
_BYTES = "application/octet-stream"


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return [] if parts.schedules is None else routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    on = _Schedules(parts)
    return [
        Operation(
            method="GET", path=_ALL, name="listSchedules", needs="read",
            summary="List the schedules", work=on.list,
            replies={200: Reply(text="All of them.", kind=ScheduleList)},
        ),
        Operation(
            method="POST", path=_ALL, name="putSchedule", needs="admin", body=Definition,
            summary="Add a schedule, or change the one of its name", work=on.put,
            replies={200: Reply(text="It counts from now on.", kind=ScheduleDocument),
                     409: Reply(text="A file or label declares it.")},
        ),
        Operation(
            method="GET", path=_ONE, name="getSchedule", needs="read",
            summary="Show a schedule", work=on.show,
            replies={200: Reply(text="The schedule.", kind=ScheduleDocument), 404: _NONE},
        ),
        Operation(
            method="DELETE", path=_ONE, name="deleteSchedule", needs="admin",
            summary="Remove a schedule and its history", work=on.remove,
            replies={202: Reply(text="It is gone; what runs goes on."), 404: _NONE,
                     409: Reply(text="A file or label declares it.")},
        ),
        Operation(
            method="POST", path=f"{_ONE}/run", name="runSchedule", needs="deploy",
            summary="Run it now", work=on.run,
            replies={202: Reply(text="It begins.", kind=RunDocument), 404: _NONE},
        ),
        Operation(
            method="POST", path=f"{_ONE}/pause", name="pauseSchedule", needs="deploy",
            summary="Let it not run until it is resumed", work=on.pause,
            replies={200: Reply(text="It is paused.", kind=ScheduleDocument), 404: _NONE},
        ),
        Operation(
            method="POST", path=f"{_ONE}/resume", name="resumeSchedule", needs="deploy",
            summary="Let it run again", work=on.resume,
            replies={200: Reply(text="It runs from now on.", kind=ScheduleDocument), 404: _NONE},
        ),
        Operation(
            method="GET", path=f"{_ONE}/next", name="nextRuns", needs="read", query=NextQuery,
            summary="Preview the coming runs", work=on.next,
            replies={200: Reply(text="When.", kind=list[datetime]), 404: _NONE},
        ),
        Operation(
            method="GET", path=f"{_ONE}/runs", name="listRuns", needs="read", query=RunsQuery,
            summary="List runs, the latest first", work=on.runs,
            replies={200: Reply(text="The runs.", kind=list[RunDocument]), 404: _NONE},
        ),
        Operation(
            method="GET", path=_RUN, name="getRun", needs="read", query=WaitQuery,
            summary="Show a run, on demand when it has ended", work=on.show_run,
            replies={200: Reply(text="The run.", kind=RunDocument), 404: _NO_RUN},
        ),
        Operation(
            method="GET", path=f"{_RUN}/stdout", name="getRunStdout", needs="read",
            summary="Read the end of what a run wrote to stdout, or has by now", work=on.stdout,
            replies={200: Reply(text="The bytes.", media=_BYTES), 404: _NO_RUN},
        ),
        Operation(
            method="GET", path=f"{_RUN}/stderr", name="getRunStderr", needs="read",
            summary="Read the end of what a run wrote to stderr, or has by now", work=on.stderr,
            replies={200: Reply(text="The bytes.", media=_BYTES), 404: _NO_RUN},
        ),
    ]  # fmt: skip


class _Schedules:
    def __init__(self, parts: Parts) -> None:
        self._on: Schedules = parts.schedules
        self._limit = parts.options.max_document

    async def list(self, _request: Request) -> Response:
        names = sorted(self._on.scheduler.known)
        return encoded(
            ScheduleList(
                schedules=[self._shown(name) for name in names],
                problems=dict(self._on.sources.problems),
            )
        )

    async def put(self, request: Request) -> Response:
        definition = await read_document(request, Definition, limit=self._limit)
        await self._on.scheduler.define(definition)
        return encoded(self._shown(definition.name))

    async def show(self, request: Request) -> Response:
        return encoded(self._shown(_name(request)))

    async def remove(self, request: Request) -> Response:
        await self._on.scheduler.remove(_name(request))
        return plain(202, f"schedule {_name(request)!r} is gone")

    async def run(self, request: Request) -> Response:
        return encoded(run_of(await self._on.scheduler.run_now(_name(request))), status=202)

    async def pause(self, request: Request) -> Response:
        await self._on.scheduler.pause(_name(request), paused=True)
        return encoded(self._shown(_name(request)))

    async def resume(self, request: Request) -> Response:
        await self._on.scheduler.pause(_name(request), paused=False)
        return encoded(self._shown(_name(request)))

    async def next(self, request: Request) -> Response:
        query = read_query(request.query_params, NextQuery)
        known = self._on.scheduler.get(_name(request))
        after = max(time.time(), known.entry.last_tick)
        found = preview(known.schedule.when, after=after, count=query.count)
        return encoded([moment(each) for each in found])

    async def runs(self, request: Request) -> Response:
        query = read_query(request.query_params, RunsQuery)
        name = self._on.scheduler.get(_name(request)).name
        wanted = RunFilter(name=name, before=query.before, limit=query.limit)
        return encoded([run_of(run) for run in await self._on.scheduler.store.runs(wanted)])

    async def show_run(self, request: Request) -> Response:
        query = read_query(request.query_params, WaitQuery)
        await self._on.scheduler.ended(_id(request), within=query.wait)
        return encoded(run_of(await self._run(request)))

    async def stdout(self, request: Request) -> Response:
        return _bytes((self._outputs(request) or await self._run(request)).stdout)

    async def stderr(self, request: Request) -> Response:
        return _bytes((self._outputs(request) or await self._run(request)).stderr)

    def _outputs(self, request: Request) -> Outputs | None:
        """Return what a run has written that goes on still."""
        return self._on.scheduler.outputs(_name(request), id=_id(request))

    async def _run(self, request: Request) -> Run:
        return await self._on.scheduler.store.run(_name(request), _id(request))

    def _shown(self, name: str) -> ScheduleDocument:
        scheduler = self._on.scheduler
        return schedule_of(scheduler.get(name), running=scheduler.running(name))


def _bytes(data: bytes) -> Response:
    return Response(data, headers={"X-Content-Type-Options": "nosniff"}, media_type=_BYTES)


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _name(request: Request) -> str:
    return str(request.path_params["schedule"])
