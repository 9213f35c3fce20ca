"""The verbs as a handler: a request that was let in becomes an answer of DockerServer's."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry.errors import NotFound
from wherry.models import CHUNK
from wherry.remote import echo, requests, words
from wherry.remote.answers import JSON, document
from wherry.remote.collecting import Collected, collected
from wherry.remote.faults import Fault
from wherry.remote.model import Answer, Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wherry.models import Output
    from wherry.remote.model import Containers
    from wherry.remote.settings import RemoteSettings

_HELD = 1024 * 1024
"""Bytes of logs that are answered as a whole; what is longer is sent as it comes."""


def nothing_there(call: Call) -> Fault:
    """Return the answer to a request that no route has."""
    return Fault(f"Cannot {call.method} /{call.target}", status=404)


class Api:
    """A :data:`wherry.remote.model.Handler` around containers."""

    def __init__(self, containers: Containers, settings: RemoteSettings) -> None:
        self._containers = containers
        self._settings = settings
        self._routes: dict[tuple[str, bool], Callable[[Call], Awaitable[Answer]]] = {
            ("GET", False): self._list,
            ("HEAD", False): self._list,
            ("GET", True): self._look,
            ("HEAD", True): self._pull,
            ("PUT", False): self._run,
            ("POST", True): self._exec,
            ("DELETE", True): self._remove,
        }

    async def __call__(self, call: Call) -> Answer:
        """Do what is asked for; raises as :data:`wherry.remote.model.Handler` says."""
        route = self._routes.get((call.method, bool(call.target)))
        if route is None:
            raise nothing_there(call)
        return await route(call)

    async def _list(self, call: Call) -> Answer:
        rows = await self._containers.list(call.caller)
        return document([row.columns for row in rows])

    async def _look(self, call: Call) -> Answer:
        if "inspect" in call.query and words.flag(call.query["inspect"] or "1", name="inspect"):
            return await self._inspect(call)
        request = replace(requests.logs_request(call), follow=False)  # a stream may follow
        command = echo.logs(request.container)
        async with AsyncExitStack() as stack:
            outputs = await stack.enter_async_context(self._containers.logs(call.caller, request))
            held = bytearray()
            async for output in outputs:
                if output.stream == "stdout":
                    held += output.data
                if len(held) > _HELD:
                    rest = _Rest(command, bytes(held), outputs, stack.pop_all())
                    return Answer(headers={"Content-Type": JSON}, body=rest)
        return document(_done(command, bytes(held)))

    async def _inspect(self, call: Call) -> Answer:
        container = words.container(call.target, name="container")
        found = [await self._containers.inspect(call.caller, container)]
        raw = json.dumps(found, indent=4, ensure_ascii=False) + "\n"
        return document({"command": echo.inspect(container), "raw": raw, "object": found})

    async def _pull(self, call: Call) -> Answer:
        await self._containers.pull(call.caller, requests.pull_request(call))
        return Answer()

    async def _run(self, call: Call) -> Answer:
        request = requests.run_request(call.fields)
        command = echo.run(request)
        if request.detach:
            id_ = await self._containers.detach(call.caller, request)
            return document({"command": command, "raw": f"{id_}\n", "containerId": id_})
        async with self._containers.run(call.caller, request) as running:
            output = await self._collect(running.events, request.timeout, command=command)
        answer = _done(command, output.stdout)
        return document(answer | {"containerId": answer["raw"].strip()})

    async def _exec(self, call: Call) -> Answer:
        request = requests.exec_request(call)
        command = echo.exec_(request)
        async with self._containers.exec(call.caller, request) as running:
            output = await self._collect(running.events, request.timeout, command=command)
        return document(_done(command, output.stdout))

    async def _remove(self, call: Call) -> Answer:
        container = words.container(call.target, name="container")
        raw = f"{container}\n"
        try:
            await self._containers.remove(call.caller, container)
        except NotFound:
            raw = ""
        return document({"command": echo.remove(container), "raw": raw})

    async def _collect(
        self, events: AsyncIterator[Any], timeout: float | None, *, command: str
    ) -> Collected:
        most = self._settings.timeout
        return await collected(
            events,
            limit=self._settings.output_limit,
            seconds=most if timeout is None else min(timeout, most),
            command=command,
        )


def _done(command: str, raw: bytes) -> dict[str, str]:
    return {"command": command, "raw": raw.decode(errors="replace")}


class _Rest:
    """Long logs as one JSON document that is written while they are read."""

    def __init__(
        self, command: str, held: bytes, outputs: AsyncIterator[Output], stack: AsyncExitStack
    ) -> None:
        self._head = json.dumps({"command": command})[:-1].encode()
        self._held = held
        self._outputs = outputs
        self._stack = stack
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces = self._all()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Stop reading, also where nothing was read."""
        try:
            await self._pieces.aclose()
        finally:
            await self._stack.aclose()

    async def _all(self) -> AsyncGenerator[bytes]:
        yield self._head + b',"raw":"' + self._escaped(self._held)
        self._held = b""
        part = bytearray()  # logs come line by line, which are not worth a chunk each
        async for output in self._outputs:
            if output.stream == "stdout":
                part += output.data
            if len(part) >= CHUNK:
                yield self._escaped(bytes(part))
                part.clear()
        yield self._escaped(bytes(part), final=True) + b'"}'

    def _escaped(self, data: bytes, *, final: bool = False) -> bytes:
        text = self._decoder.decode(data, final)
        return json.dumps(text, ensure_ascii=False)[1:-1].encode()
