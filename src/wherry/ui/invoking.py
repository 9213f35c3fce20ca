"""``POST /ui/functions/NAME/invoke``: a form that calls a function, and its answer as it comes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request

from wherry.errors import TooLarge, WherryError
from wherry.ui.answers import AsLines, AsPage, Download
from wherry.ui.forms import Content, Form, read_form
from wherry.ui.performing import Outcome, perform, request_of
from wherry.ui.rendering import see
from wherry.units import format_size

if TYPE_CHECKING:
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.functions.model import Deployed
    from wherry.ui.rendering import Pages

_LINES = "application/x-ndjson"


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""

    async def answer(request: Request) -> Any:  # noqa: ANN401 - an ASGI application
        dashboard = pages.dashboard
        deployed = dashboard.service.find(str(request.path_params["name"]))
        guard = dashboard.guard
        if guard is not None and (refusal := await guard.call_refusal(request.scope, deployed)):
            return refusal
        return _Invoking(pages, deployed)

    return [pages.route("/functions/{name}/invoke", post=answer)]


class _Invoking:
    """The ASGI application that answers one form."""

    def __init__(self, pages: Pages, deployed: Deployed) -> None:
        self._pages = pages
        self._dashboard = pages.dashboard
        self._deployed = deployed
        allowed, most = deployed.settings.max_body, pages.dashboard.max_upload
        self._most = most if allowed is None else min(allowed, most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            async with read_form(request, max_file=self._most) as form:
                answer = await self._answered(request, form)
                await answer(scope, receive, send)
        except ClientDisconnect:
            return
        except WherryError as error:
            await self._pages.failure(request, error)(scope, receive, send)

    async def _answered(self, request: Request, form: Form) -> ASGIApp:
        body = form.file or _written(form.text("text"))
        if body.size > self._most:
            raise TooLarge(f"the input: more than {format_size(self._most)} are too much here")
        if form.text("how") == "queue":
            return await self._queued(body)
        return _Calling(self, request, how=form.text("how"), body=body)

    async def _queued(self, body: Content) -> ASGIApp:
        queued = request_of(self._deployed, size=body.size)
        allowed = self._deployed.settings.max_body
        record = await self._dashboard.calls.enqueue(queued, body, max_body=allowed)
        return see(f"/ui/calls/{quote(record.id, safe='')}", note="queued")

    async def call(self, request: Request, send: Send, *, how: str, body: Content) -> None:
        """Make the call, and send what comes of it."""
        with ExitStack() as stack:
            answer: AsLines | AsPage | Download
            if how == "download":
                answer = Download(self._pages, request, self._deployed, send=send)
                stack.callback(answer.close)
            elif _LINES in request.headers.get("accept", ""):
                answer = AsLines(send, most=self._dashboard.max_shown)
            else:
                answer = AsPage(self._pages, request, self._deployed, send=send)
            outcome = Outcome()
            await answer.begin(outcome)
            await perform(
                self._dashboard, self._deployed, body=body, outcome=outcome, tell=answer.tell
            )
            await answer.end(outcome)


class _Calling:
    """The ASGI application that makes the call; whoever leaves ends it."""

    def __init__(self, invoking: _Invoking, request: Request, *, how: str, body: Content) -> None:
        self._invoking = invoking
        self._request = request
        self._how = how
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = self._invoking.call(self._request, send, how=self._how, body=self._body)
        await _while_there(receive, work)


async def _while_there(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Work until it is done, or whoever asked for it has left."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(_departure(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
    if not working.cancelled():
        working.result()


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _written(text: str) -> Content:
    data = text.encode(errors="surrogateescape")
    return Content(len(data), io.BytesIO(data))


__all__ = ["routes"]
