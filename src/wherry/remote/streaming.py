"""``?stream=1``: what a program writes, line by line of JSON while it runs, and how it ended."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from wherry.remote import answers, echo, requests, words
from wherry.remote.faults import Malformed
from wherry.remote.lines import Lines
from wherry.remote.model import Answer

if TYPE_CHECKING:
    from wherry.errors import WherryError
    from wherry.remote.model import Call, Containers, Handler
    from wherry.remote.settings import RemoteSettings

NDJSON = "application/x-ndjson"
_QUERY = "stream"


def is_stream(call: Call) -> bool:
    """Whether the answer is wanted as it comes. Raises Malformed."""
    wanted = call.query.get(_QUERY)
    is_run = call.method == "PUT" and not call.target
    is_other = call.method in ("GET", "POST") and call.target and "inspect" not in call.query
    if wanted is None or not (is_run or is_other):
        return False
    return words.flag(wanted or "1", name=_QUERY)


class Streaming:
    """A :data:`wherry.remote.model.Handler` around another one."""

    def __init__(
        self, containers: Containers, settings: RemoteSettings, *, otherwise: Handler
    ) -> None:
        self._containers = containers
        self._settings = settings
        self._otherwise = otherwise

    async def __call__(self, call: Call) -> Answer:
        """Answer what wants a stream, and leave the rest to the other handler."""
        if not is_stream(call):
            return await self._otherwise(call)
        begin = {"PUT": self._run, "POST": self._exec}.get(call.method, self._logs)
        stack = AsyncExitStack()
        try:
            lines = await begin(call, stack)
        except BaseException:
            await stack.aclose()
            raise
        return Answer(headers={"Content-Type": NDJSON, "X-Accel-Buffering": "no"}, body=lines)

    async def _run(self, call: Call, stack: AsyncExitStack) -> Lines:
        request = requests.run_request(call.fields)
        if request.detach:
            raise Malformed("stream: a container that goes on by itself has logs, and no stream")
        running = await stack.enter_async_context(self._containers.run(call.caller, request))
        return Lines(
            running.events,
            stack,
            first={"command": echo.run(request), "containerId": running.id, "name": request.name},
            seconds=self._seconds(request.timeout),
            told=_told,
        )

    async def _exec(self, call: Call, stack: AsyncExitStack) -> Lines:
        request = requests.exec_request(call)
        running = await stack.enter_async_context(self._containers.exec(call.caller, request))
        return Lines(
            running.events,
            stack,
            first={"command": echo.exec_(request), "container": request.container},
            seconds=self._seconds(request.timeout),
            told=_told,
        )

    async def _logs(self, call: Call, stack: AsyncExitStack) -> Lines:
        request = requests.logs_request(call)
        if "follow" not in call.query:
            request = replace(request, follow=True)
        outputs = await stack.enter_async_context(self._containers.logs(call.caller, request))
        first = {"command": echo.logs(request.container), "container": request.container}
        return Lines(outputs, stack, first=first, seconds=None, told=_told)

    def _seconds(self, asked: float | None) -> float:
        most = self._settings.timeout
        return most if asked is None else min(asked, most)


def _told(error: WherryError) -> str:
    """Return what a stranger may hear of an error."""
    answer = answers.failure(error, strict=True)
    assert isinstance(answer.body, bytes)
    if answer.headers.get("Content-Type") != answers.JSON:
        return answer.body.decode()
    return str(msgspec.json.decode(answer.body)["error"])
