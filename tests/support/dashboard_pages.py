"""What the tests of the dashboard's pages share: programs that misbehave, and a look at HTML."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from wherry import streams
from wherry.calls import QueuedRequest

if TYPE_CHECKING:
    from tests.support.dashboard import Board

    from wherry.calls import CallRecord
    from wherry.testing import Call

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
TAGS = {"script", "img", "iframe", "object", "style", "base", "meta", "link"}


class Tags(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check_safe(text: str) -> None:
    """Fail for elements and attributes that no template of ours has."""
    known = {"/ui/static/dashboard.js", "/ui/static/dashboard.css", "/ui/static/icon.svg"}
    for tag, attrs in Tags(text).found:
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        source = attrs.get("src") or attrs.get("href") or ""
        assert not source.lower().startswith(("javascript:", "data:", "//"))
        if tag in TAGS - {"meta"}:
            assert source.partition("?")[0] in known, (tag, attrs)


async def evil(call: Call) -> int:
    async for _ in call.stdin:
        pass
    await call.stdout.write(EVIL.encode())
    await call.stderr.write(EVIL.encode() + b"\x1b[2J\n")
    return 3


async def stubborn(call: Call) -> int:
    await call.stderr.write(b"still here\n")
    await asyncio.Event().wait()
    return 0


PROGRAMS = {"evil": evil, "stubborn": stubborn}


async def queued(made: Board, name: str, body: bytes = b"") -> CallRecord:
    request = QueuedRequest(name=name, namespace="openfaas-fn")
    return await made.dashboard.calls.enqueue(request, streams.source(body))


async def until(made: Board, id: str, *states: str) -> CallRecord:  # noqa: A002
    """Wait until a call of the queue is in one of some states."""
    changed = asyncio.Event()
    made.dashboard.calls.on_change(changed.set)
    async with asyncio.timeout(20):
        while True:
            record = await made.dashboard.calls.get(id)
            if record.state in states:
                return record
            changed.clear()
            await asyncio.wait([asyncio.ensure_future(changed.wait())], timeout=0.02)
