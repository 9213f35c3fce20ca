"""``/system/logs``: what functions wrote to stderr, a JSON document per line, also live."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import StreamingResponse

from wherry import streams
from wherry.errors import NotFound, UsageError
from wherry.functions.names import place_of
from wherry.triggers.http.bodies import read_query
from wherry.triggers.http.documents import LogMessage, LogsQuery
from wherry.triggers.http.errors import Refused
from wherry.triggers.http.operations import NDJSON, Operation, Reply, routes_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import Send

    from wherry.calls.logline import LogLine
    from wherry.calls.logs import FunctionLogs
    from wherry.functions.model import Deployed
    from wherry.functions.store import FunctionStore
    from wherry.triggers.http.parts import Parts

_WRONG = 422
"""OpenFaaS's status for a query that cannot be read."""


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    return [
        Operation(
            method="GET", path="/system/logs", name="logs", needs="read", query=LogsQuery,
            summary="Read what a function wrote to stderr",
            text="One document per line, sent as soon as it is there.",
            replies={200: Reply(text="The lines.", kind=LogMessage, media=NDJSON),
                     404: Reply(text="There is no such function."),
                     422: Reply(text="The query cannot be read.")},
            work=_Logs(parts).show,
        )
    ]  # fmt: skip


class _Live(StreamingResponse):
    """Lets go of what it sends when its reader leaves, and not some time later."""

    async def stream_response(self, send: Send) -> None:
        """Send it all; Starlette cancels this when the reader has left."""
        try:
            await super().stream_response(send)
        finally:
            await streams.close(self.body_iterator)


class _Logs:
    def __init__(self, parts: Parts) -> None:
        self._functions: FunctionStore = parts.functions
        self._logs: FunctionLogs | None = parts.logs

    async def show(self, request: Request) -> Response:
        query = read_query(request.query_params, LogsQuery, wrong=_WRONG)
        deployed = self._find(query)
        if self._logs is None:
            raise NotFound("this gateway keeps no logs")
        lines = self._lines(self._logs, deployed, query)
        # `X-Accel-Buffering` lets the lines through proxies that would wait for more of them.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return _Live(lines, media_type=NDJSON, headers=headers)

    def _find(self, query: LogsQuery) -> Deployed:
        try:
            name, namespace = place_of(query.name, namespace=query.namespace)
        except UsageError as error:
            raise Refused(_WRONG, str(error)) from None
        return self._functions.get(name, namespace=namespace)

    async def _lines(
        self, logs: FunctionLogs, deployed: Deployed, query: LogsQuery
    ) -> AsyncIterator[bytes]:
        encoder = msgspec.json.Encoder()
        found = logs.query(
            deployed.name,
            deployed.namespace,
            instance=query.instance or None,
            tail=query.tail if query.tail > 0 else None,
            since=query.since.timestamp() if query.since else None,
            follow=query.follow,
        )
        try:
            async for line in found:
                yield encoder.encode(_message(line)) + b"\n"
        finally:
            await streams.close(found)


def _message(line: LogLine) -> LogMessage:
    return LogMessage(
        name=line.name,
        namespace=line.namespace,
        instance=line.instance,
        timestamp=datetime.fromtimestamp(line.timestamp, tz=UTC),
        text=line.text,
    )
