"""An ASGI application that is run for a thread: its input and output in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from wherry.sync.portal import Portal


class _Hungry:
    """Stands for an application that wants more of its input."""


_HUNGRY: Final = _Hungry()


class Turns:
    """One request: :meth:`next` returns what the application sends, and feeds it as it asks."""

    def __init__(self, portal: Portal, app: ASGIApp, scope: Scope, body: Iterator[bytes]) -> None:
        self._portal = portal
        self._body = body
        self._exchange = _Exchange(app, scope)

    def next(self) -> Message | None:
        """Return the next message of the answer, None after the last; raises as the application."""
        given: Message | None = None
        while True:
            said = self._portal.call(self._exchange.turn(given))
            if not isinstance(said, _Hungry):
                return said
            data = next(self._body, b"")
            given = {"type": "http.request", "body": data, "more_body": bool(data)}

    def close(self) -> None:
        """End the application, if it has not ended: its client has left. Idempotent."""
        self._portal.finish(self._exchange.abandon())


class _Exchange:
    """The same, in the portal's thread."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._task: asyncio.Task[None] | None = None
        self._said: Message | None = None
        self._given: Message | None = None
        self._hungry = False
        self._fed = False
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._here = asyncio.Event()

    async def turn(self, given: Message | None) -> Message | _Hungry | None:
        """Give what was asked for, and wait until the application says or asks something."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if given is not None:
            self._given, self._fed = given, not given["more_body"]
            self._here.set()
        while True:
            if self._said is not None:
                said, self._said = self._said, None
                self._taken.set()
                return said
            if self._task.done():
                self._task.result()
                return None
            if self._hungry:
                self._hungry = False
                return _HUNGRY
            self._news.clear()
            await self._news.wait()

    async def abandon(self) -> None:
        """Cancel it and wait for its end."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._news.set()

    async def _receive(self) -> Message:
        if self._fed and self._given is None:
            await asyncio.Event().wait()  # whoever leaves is known by abandon
        self._hungry = self._given is None
        self._news.set()
        while self._given is None:
            self._here.clear()
            await self._here.wait()
        given, self._given = self._given, None
        return given

    async def _send(self, message: Message) -> None:
        self._said = message
        self._taken.clear()
        self._news.set()
        await self._taken.wait()
