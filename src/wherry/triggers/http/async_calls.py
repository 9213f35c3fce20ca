"""``/async-function/NAME`` queues a call; ``/system/calls`` shows calls and takes orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from wherry import streams
from wherry.calls.model import QueuedRequest
from wherry.errors import Busy, TooLarge, WherryError
from wherry.service.outcome import status_of_error
from wherry.triggers.http.bodies import flowing, read_query
from wherry.triggers.http.call_documents import (
    CallDocument,
    CallsQuery,
    Problem,
    WaitQuery,
    document_of,
)
from wherry.triggers.http.environment import http_environment, text_of
from wherry.triggers.http.errors import Refused, plain, wrong_method
from wherry.triggers.http.heads import call_id, header, timeout_asked
from wherry.triggers.http.operations import Operation, Reply, Work, encoded, routes_of
from wherry.web.duplex import content_length, too_large

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from wherry.calls.store import CallStore
    from wherry.functions.model import Deployed
    from wherry.triggers.http.parts import Parts

PREFIX = "/async-function/"
_CALLS = "/system/calls"
_CALL = f"{_CALLS}/{{id}}"
_NONE = Reply(text="There is no such call.", kind=Problem)
_CONFLICT = Reply(text="The call is in another state.", kind=Problem)


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    if parts.calls is None:
        return []
    queueing = Queueing(parts)
    return [
        Route(f"{PREFIX}{{name}}", queueing, include_in_schema=False),
        Route(f"{PREFIX}{{name}}/{{rest:path}}", queueing, include_in_schema=False),
        *routes_of(operations(parts)),
    ]


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here, but for the queueing itself."""
    calls = _Calls(parts.calls)
    return [
        Operation(
            method="GET", path=_CALLS, name="listCalls", needs="read", query=CallsQuery,
            summary="List calls, the latest first",
            replies={200: Reply(text="The calls.", kind=list[CallDocument]),
                     400: Reply(text="The query cannot be read.", kind=Problem)},
            work=_in_json(calls.list),
        ),
        Operation(
            method="GET", path=_CALL, name="getCall", needs="read", query=WaitQuery,
            summary="Show a call, on demand when it has ended",
            replies={200: Reply(text="The call.", kind=CallDocument), 404: _NONE,
                     400: Reply(text="The query cannot be read.", kind=Problem)},
            work=_in_json(calls.show),
        ),
        Operation(
            method="DELETE", path=_CALL, name="cancelCall", needs="deploy",
            summary="Cancel a queued call, also one that runs",
            replies={202: Reply(text="It is ended, or will be soon.", kind=CallDocument),
                     404: _NONE, 409: _CONFLICT},
            work=_in_json(calls.cancel),
        ),
        Operation(
            method="GET", path=f"{_CALL}/result", name="getCallResult", needs="read",
            summary="Read what a queued call wrote to stdout",
            replies={200: Reply(text="The bytes.", media="application/octet-stream"),
                     404: Reply(text="There is no such call, or its result is not kept any more.",
                                kind=Problem),
                     409: Reply(text="It has not ended.", kind=Problem)},
            work=_in_json(calls.result),
        ),
        Operation(
            method="POST", path=f"{_CALL}/retry", name="retryCall", needs="deploy",
            summary="Queue a dead or cancelled call anew",
            replies={202: Reply(text="It is queued.", kind=CallDocument),
                     404: _NONE, 409: _CONFLICT},
            work=_in_json(calls.retry),
        ),
    ]  # fmt: skip


class Queueing:
    """The ASGI application below ``/async-function/``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._calls: CallStore = parts.calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 202 once the call is on the disk."""
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            return wrong_method(request.method, path=request.url.path, allowed="POST")
        try:
            name, rest = _split(request.scope)
            deployed = self._parts.service.find(name)
            guard = self._parts.guard
            if guard is not None and (refusal := await guard.call_refusal(request.scope, deployed)):
                return refusal
            return await self._queue(request, deployed, rest)
        except Refused as refused:
            return refused.response()
        except ClientDisconnect:
            return plain(400, "body: the connection ended before it did")
        except WherryError as error:
            return plain(status_of_error(error), str(error), headers=_headers(error))

    async def _queue(self, request: Request, deployed: Deployed, rest: str) -> Response:
        scope = request.scope
        queued = queued_request(scope, deployed, path=rest)
        most = deployed.settings.max_body
        largest = min(most or self._calls.limits.max_body, self._calls.limits.max_body)
        length = content_length(scope)
        if length is not None and length > largest:
            raise too_large(largest)
        record = await self._calls.enqueue(queued, flowing(request), max_body=most)
        started = str(int(record.created * 1e9))
        return Response(status_code=202, headers={"X-Call-Id": record.id, "X-Start-Time": started})


def queued_request(scope: Scope, deployed: Deployed, *, path: str) -> QueuedRequest:
    """Return the call that a request asks for. Raises :class:`UsageError`."""
    callback = header(scope, b"x-callback-url")
    return QueuedRequest(
        name=deployed.name,
        namespace=deployed.namespace,
        id=call_id(scope),
        env=http_environment(scope, path=path),
        timeout=timeout_asked(scope),
        callback=callback.decode("latin-1") if callback is not None else None,
        method=scope["method"],
        path=path,
        query=text_of(scope.get("query_string", b"")),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
    )


class _Calls:
    def __init__(self, calls: CallStore) -> None:
        self._calls = calls

    async def list(self, request: Request) -> Response:
        query = read_query(request.query_params, CallsQuery)
        found = await self._calls.list(
            name=query.name or None,
            namespace=query.namespace or None,
            state=query.state,
            trigger=query.trigger,
            before=query.before,
            limit=query.limit,
        )
        return encoded([document_of(record) for record in found])

    async def show(self, request: Request) -> Response:
        query = read_query(request.query_params, WaitQuery)
        return encoded(document_of(await self._calls.wait(_id(request), seconds=query.wait)))

    async def cancel(self, request: Request) -> Response:
        return encoded(document_of(await self._calls.cancel(_id(request))), status=202)

    async def retry(self, request: Request) -> Response:
        return encoded(document_of(await self._calls.retry(_id(request))), status=202)

    async def result(self, request: Request) -> Response:
        found = await self._calls.result(_id(request))
        headers = {"Content-Length": str(found.size), "X-Content-Type-Options": "nosniff"}
        media = "application/octet-stream"
        if request.method == "HEAD":
            return Response(headers=headers, media_type=media)
        return _Bytes(aiter(found), headers=headers, media_type=media)


class _Bytes(StreamingResponse):
    """Lets go of the file that it sends when its reader leaves."""

    async def stream_response(self, send: Send) -> None:
        """Send it all."""
        try:
            await super().stream_response(send)
        finally:
            await streams.close(self.body_iterator)


def _in_json(work: Work) -> Work:
    """Return work whose errors are JSON, as all answers of our own additions are."""

    async def answer(request: Request) -> Response:
        try:
            return await work(request)
        except Refused as refused:
            return encoded(Problem(error=refused.message), status=refused.status)
        except WherryError as error:
            return encoded(Problem(error=str(error)), status=status_of_error(error))

    return answer


def _headers(error: WherryError) -> dict[str, str]:
    match error:
        case TooLarge():
            return {"Connection": "close"}
        case Busy():
            return {"Retry-After": "5"}
        case _:
            return {}


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _split(scope: Scope) -> tuple[str, str]:
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    name, slash, rest = path.removeprefix(PREFIX).partition("/")
    return name, f"/{rest}" if slash else "/"
