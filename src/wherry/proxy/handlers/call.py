"""One request on its way: who asks, for what, and how the engine is asked in turn."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from wherry.engines.closing import finish
from wherry.engines.docker.failures import Refused
from wherry.proxy.policy import queries
from wherry.proxy.upstream import Hijacked

if TYPE_CHECKING:
    from wherry.proxy.front import Exchange
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.policy.routing import Route
    from wherry.proxy.tenants.model import Owned
    from wherry.proxy.upstream import Answer, Query

_WEBSOCKET = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "origin")
_RAW = "application/vnd.docker.raw-stream"
T = TypeVar("T")
Through = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
"""What an answer is rewritten by, on its way."""
_PASSED = ("x-docker-container-path-stat",)
"""Headers of the engine's that are handed on; all others are the proxy's own."""


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that the policy has let through so far."""

    exchange: Exchange
    route: Route
    scope: Scope
    object: str = ""
    """Kind and full id, once they are known, for the audit log."""

    def about(self, owned: Owned) -> Owned:
        """Note what the request is about; returns it."""
        self.object = f"{owned.kind} {owned.id}"
        return owned

    def container(self) -> Owned:
        """Return the container in the path; raises :class:`Denied` (404)."""
        return self.about(self.scope.container(self.route.name))

    def query(self) -> dict[str, str]:
        """Return the new query of the request: names and filters are left to who looks them up."""
        return queries.clean(self.route, self.scope.policy.limits)

    async def relay(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        through: Through | None = None,
    ) -> None:
        """Ask the engine, and hand its answer on as it comes; the client's leaving ends it."""
        async with (
            self.exchange.while_present(),
            self.scope.engine.upstream.exchange(
                self.route.method, path, query=query, headers=headers, body=body, timeout=None
            ) as answer,
        ):
            await check(answer)
            chunks = answer.stream()
            await self.pass_on(answer, through(chunks) if through else chunks)

    async def pass_on(self, answer: Answer, chunks: AsyncIterator[bytes]) -> None:
        """Answer with the engine's status and type, and a body of our choice."""
        kept = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
        await self.exchange.stream(
            answer.status,
            chunks,
            content_type=answer.headers.get("content-type", _RAW),
            headers=kept,
        )

    async def join(
        self, path: str, *, query: Query | None = None, body: bytes | None = None
    ) -> None:
        """Ask the engine for a raw stream, and join it with the client's connection."""
        request = self.exchange.request
        headers = (
            {name: value for name, value in request.headers if name in _WEBSOCKET}
            if request.upgrade == "websocket"
            else {}
        )
        if body is not None:
            headers["content-type"] = "application/json"
        async with self.scope.engine.upstream.hijack(
            self.route.method,
            path,
            query=query,
            headers=headers,
            body=body,
            upgrade=request.upgrade,
        ) as given:
            if isinstance(given, Hijacked):
                await self.exchange.hijack(given)
                return
            await check(given)
            await self.pass_on(given, given.stream())

    async def ask(
        self,
        path: str,
        *,
        method: str | None = None,
        query: Query | None = None,
        body: bytes | None = None,
        timeout: float | None = 60.0,
    ) -> tuple[int, Any]:
        """Ask the engine; returns status and JSON. Raises :class:`Refused` for its refusal."""
        async with self.scope.engine.upstream.exchange(
            method or self.route.method,
            path,
            query=query,
            body=body,
            headers={"content-type": "application/json"} if body is not None else None,
            timeout=timeout,
        ) as answer:
            await check(answer)
            return answer.status, await answer.json()

    async def ask_with_body(self, path: str, *, query: Query, body: AsyncIterable[bytes]) -> None:
        """Send a tar as it comes, and tell how it went."""
        async with (
            self.exchange.while_present(),
            self.scope.engine.upstream.exchange(
                self.route.method, path, query=query, body=body,
                headers={"content-type": "application/x-tar"}, timeout=None,
            ) as answer,
        ):  # fmt: skip
            await check(answer)
            await self.exchange.answer(answer.status)

    async def hand_on(
        self, path: str, *, query: Query | None = None, timeout: float | None = 60.0
    ) -> None:
        """Ask for something without an answer of its own, and tell how it went."""
        status, value = await self.ask(path, query=query, timeout=timeout)
        if value is None:
            await self.exchange.answer(status)
        else:
            await self.exchange.json(status, value)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Do something to its end, even when its task is cancelled meanwhile: then that comes after.

    What the engine makes is recorded in the same go, so that nothing is left that nobody owns.
    """
    found: list[T] = []

    async def keep() -> None:
        found.append(await work)

    await finish(keep())
    return found[0]


async def check(answer: Answer) -> None:
    """Raise :class:`Refused` for an error of the engine's."""
    if answer.status >= 400:
        reason = await answer.message()
        raise Refused(reason, status=answer.status, reason=reason)
