"""``/ui/calls``: calls, one call, and the orders that can be given about it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, get_args
from urllib.parse import quote, urlencode

from starlette.responses import Response, StreamingResponse

from wherry import streams
from wherry.calls.model import State
from wherry.errors import Conflict, NotFound, UsageError
from wherry.functions.names import split_name
from wherry.ui.formats import text_of, visible
from wherry.ui.rendering import HEADERS, see
from wherry.ui.timeline import timeline

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route
    from starlette.types import Send

    from wherry.calls.model import CallRecord
    from wherry.ui.rendering import Pages

STATES: tuple[State, ...] = get_args(State)
_CALL = "/calls/{id}"
_LINES = 300
"""Lines of stderr that are shown of a call that runs."""


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""
    calls = _Calls(pages)
    return [
        pages.route("/calls", get=calls.list),
        pages.route(_CALL, get=calls.show),
        pages.route(f"{_CALL}/output", get=calls.output),
        pages.route(f"{_CALL}/cancel", post=calls.cancel),
        pages.route(f"{_CALL}/retry", post=calls.retry),
    ]


class _Calls:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._dashboard = pages.dashboard
        self._calls = pages.dashboard.calls

    async def list(self, request: Request) -> Response:
        query = request.query_params
        text, state = query.get("function", "").strip(), query.get("state", "")
        per_page = self._dashboard.per_page
        name, namespace, problem = _function(text)
        found: list[CallRecord] = []
        if problem is None:
            found = await self._calls.list(
                name=name,
                namespace=namespace,
                state=state if state in STATES else None,
                before=_number(query.get("before", "")),
                limit=per_page + 1,
            )
        kept = {"function": text, "state": state}
        return self._pages.page(
            request,
            "calls.html",
            calls=found[:per_page],
            query=kept,
            states=STATES,
            problem=problem,
            is_first=not query.get("before"),
            first=f"?{urlencode(kept)}",
            more=f"?{urlencode({**kept, 'before': found[per_page - 1].number})}"
            if len(found) > per_page
            else None,
        )

    async def show(self, request: Request) -> Response:
        record = await self._calls.get(_id(request))
        return self._pages.page(
            request,
            "call.html",
            call=record,
            path=path_of(record.id),
            timeline=timeline(record),
            stdout=await self._stdout(record),
            stderr=await self._stderr(record),
            is_queued=record.trigger == "async",
            known=self._is_known(record),
            max_shown=self._dashboard.max_shown,
        )

    async def output(self, request: Request) -> Response:
        found = await self._calls.result(_id(request))
        headers = {
            **HEADERS,
            "Content-Length": str(found.size),
            "Content-Disposition": 'attachment; filename="output"',
        }
        return _Bytes(aiter(found), headers=headers, media_type="application/octet-stream")

    async def cancel(self, request: Request) -> Response:
        record = await self._calls.cancel(_id(request))
        return see(path_of(record.id), note="cancelled")

    async def retry(self, request: Request) -> Response:
        record = await self._calls.retry(_id(request))
        return see(path_of(record.id), note="retried")

    def _is_known(self, record: CallRecord) -> bool:
        """Whether its function is still there."""
        try:
            self._dashboard.service.find(record.qualified)
        except UsageError:
            return False
        return True

    async def _stdout(self, record: CallRecord) -> str | None:
        """Return the first of what is kept of its stdout, None when nothing is."""
        if record.is_open or record.trigger != "async":
            return None
        try:
            found = await self._calls.result(record.id)
        except (NotFound, Conflict):
            return None
        kept, most, chunks = bytearray(), self._dashboard.max_shown, aiter(found)
        try:
            async for chunk in chunks:
                kept += chunk[: most - len(kept)]
                if len(kept) >= most:
                    break
        finally:
            await streams.close(chunks)
        return text_of(bytes(kept))

    async def _stderr(self, record: CallRecord) -> str:
        """Return the last of its stderr: from its record, or from the log while it runs."""
        logs = self._dashboard.logs
        if record.stderr or not record.is_open or logs is None:
            return text_of(record.stderr)
        query = logs.query(record.name, record.namespace, instance=record.id, tail=_LINES)
        async with aclosing(query) as lines:
            return "\n".join([visible(line.text) async for line in lines])


class _Bytes(StreamingResponse):
    """Lets go of the file that it sends when its reader leaves."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            await streams.close(self.body_iterator)


def path_of(id: str) -> str:  # noqa: A002 - what it is
    """Return where a call's page is."""
    return f"/ui/calls/{quote(id, safe='')}"


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _function(text: str) -> tuple[str | None, str | None, str | None]:
    """Return (name, namespace, what is wrong) of what was typed."""
    if not text:
        return None, None, None
    try:
        name, namespace = split_name(text)
    except UsageError as error:
        return None, None, str(error)
    return name, namespace, None


def _number(text: str) -> int | None:
    return int(text[:18]) if text.isascii() and text.isdecimal() else None
