"""``/ui/queue``: what waits, what runs, and the calls that nobody tries again by himself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.errors import Conflict, NotFound
from wherry.ui.rendering import see

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.calls.model import CallRecord, State
    from wherry.ui.rendering import Pages

SHOWN = 20
AT_ONCE = 500
"""Dead calls that one order queues again."""


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""
    queue = _Queue(pages)
    return [
        pages.route("/queue", get=queue.show),
        pages.route("/queue/requeue", post=queue.requeue),
    ]


class _Queue:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._calls = pages.dashboard.calls

    async def show(self, request: Request) -> Response:
        calls = self._calls
        stats = await calls.stats()
        # A list that is known to be empty is not looked for: it would be, in every record.
        return self._pages.page(
            request,
            "queue.html",
            stats=stats,
            running=await self._list("running") if stats.running else [],
            queued=await self._list("queued") if stats.queued else [],
            dead=await self._list("dead") if stats.dead else [],
            at_once=AT_ONCE,
        )

    async def _list(self, state: State) -> list[CallRecord]:
        return await self._calls.list(state=state, trigger="async", limit=SHOWN)

    async def requeue(self, request: Request) -> Response:
        for record in await self._calls.list(state="dead", limit=AT_ONCE):
            try:
                await self._calls.retry(record.id)
            except (NotFound, Conflict):
                continue  # somebody else was quicker
        return see("/ui/queue", note="requeued")
