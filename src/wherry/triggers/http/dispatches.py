"""``/system/dispatch``: the queues whose messages are dispatched, and how they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wherry.triggers.http.operations import Operation, Reply, encoded, routes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.triggers.amqp.service import Dispatched, Dispatching
    from wherry.triggers.http.parts import Parts


class DispatchDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A queue that is dispatched. What is not known is absent."""

    name: str
    """Of its table."""
    queue: str
    broker: str
    """Without user, password and options."""
    connected: bool
    """Whether its messages are heard now."""
    problem: str | msgspec.UnsetType = msgspec.UNSET
    """Why they are not; it is tried again."""
    concurrency: int
    running: int
    """Messages that are being dealt with."""
    acknowledged: int
    """Messages that ended well, since the server started."""
    rejected: int
    """Messages that ended as dead letters."""
    retried: int
    """Tries that were followed by another."""
    repeated: int
    """Messages that came again, and were answered from the record."""


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return [] if parts.dispatching is None else routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    dispatching: Dispatching = parts.dispatching

    async def show(_request: Request) -> Response:
        return encoded([_document(each) for each in dispatching.queues])

    return [
        Operation(
            method="GET", path="/system/dispatch", name="listDispatch", needs="read",
            summary="List the queues whose messages are dispatched, and how they do", work=show,
            replies={200: Reply(text="The queues.", kind=list[DispatchDocument])},
        )
    ]  # fmt: skip


def _document(each: Dispatched) -> DispatchDocument:
    dispatcher, tally = each.dispatcher, each.dispatcher.tally
    return DispatchDocument(
        name=each.name,
        queue=each.queue,
        broker=each.broker,
        connected=dispatcher.connected.is_set(),
        problem=dispatcher.problem or msgspec.UNSET,
        concurrency=each.concurrency,
        running=dispatcher.running,
        acknowledged=tally.acknowledged,
        rejected=tally.rejected,
        retried=tally.retried,
        repeated=tally.repeated,
    )
