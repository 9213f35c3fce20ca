"""How the answer to a form that called a function goes out: a page, lines of JSON, or a file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import msgspec
from markupsafe import escape

from wherry.errors import TooLarge
from wherry.ui.performing import Kind, Outcome, Shown
from wherry.ui.rendering import HEADERS, environment
from wherry.units import format_size

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Send

    from wherry.functions.model import Deployed
    from wherry.ui.rendering import Pages

_HERE = "<!--here-->"
"""Where the page's template leaves room; text of others is escaped and never holds it."""
_CHUNK = 64 * 1024


class AsLines:
    """For the script of the page: one JSON object a line."""

    def __init__(self, send: Send, *, most: int) -> None:
        self._send = send
        self._shown = Shown(most)

    async def begin(self, outcome: Outcome) -> None:
        """Send the head, and the call's id."""
        await start(self._send, "application/x-ndjson")
        await self._line({"id": outcome.id})

    async def tell(self, kind: Kind, data: bytes) -> None:
        """Send a piece of what the function wrote."""
        if text := self._shown.text(kind, data):
            await self._line({kind: text})

    async def end(self, outcome: Outcome) -> None:
        """Send how it ended."""
        for kind, text in self._shown.rest():
            await self._line({kind: text})
        ending = {
            "id": outcome.id, "ok": outcome.ok, "said": outcome.said, "cut": self._shown.cut,
            "size": format_size(outcome.stdout_bytes),
        }  # fmt: skip
        await self._line({"end": ending})
        await self._send({"type": "http.response.body", "body": b""})

    async def _line(self, value: dict[str, Any]) -> None:
        await write(self._send, msgspec.json.encode(value) + b"\n")


class AsPage:
    """For a browser without scripts: a page that grows as the function writes."""

    def __init__(self, pages: Pages, request: Request, deployed: Deployed, *, send: Send) -> None:
        self._send = send
        self._shown = Shown(pages.dashboard.max_shown)
        text = pages.text(request, "invoked.html", deployed=deployed, here=_HERE)
        self._head, self._middle, self._foot = text.split(_HERE)

    async def begin(self, outcome: Outcome) -> None:
        """Send the page up to where the output goes."""
        await start(self._send, "text/html; charset=utf-8")
        await write(self._send, self._head.encode())

    async def tell(self, kind: Kind, data: bytes) -> None:
        """Send a piece of what the function wrote."""
        await self._piece(kind, self._shown.text(kind, data))

    async def end(self, outcome: Outcome) -> None:
        """Send how it ended, and the rest of the page."""
        for kind, text in self._shown.rest():
            await self._piece(kind, text)
        template = environment().get_template("outcome.html")
        said = template.render(outcome=outcome, cut=self._shown.cut)
        page = self._middle + said + self._foot
        await self._send({"type": "http.response.body", "body": page.encode()})

    async def _piece(self, kind: Kind, text: str) -> None:
        if text:
            safe = str(escape(text))
            piece = safe if kind == "stdout" else f'<span class="err">{safe}</span>'
            await write(self._send, piece.encode(errors="backslashreplace"))


class Download:
    """A file, once it is known that the call succeeded."""

    def __init__(self, pages: Pages, request: Request, deployed: Deployed, *, send: Send) -> None:
        self._pages = pages
        self._request = request
        self._name = deployed.name
        self._send = send
        self._most = pages.dashboard.max_upload
        self._file = tempfile.SpooledTemporaryFile(max_size=256 * 1024)  # noqa: SIM115 - close()
        self._size = 0

    async def begin(self, outcome: Outcome) -> None:
        """Send nothing yet: the status is not known."""

    async def tell(self, kind: Kind, data: bytes) -> None:
        """Keep what the function wrote; raises :class:`TooLarge`."""
        if kind == "stdout":
            self._size += len(data)
            if self._size > self._most:
                raise TooLarge(f"the answer: more than {format_size(self._most)} are too much here")
            self._file.write(data)

    async def end(self, outcome: Outcome) -> None:
        """Send the file, or the page that says why there is none."""
        if not outcome.ok:
            page = self._pages.page(
                self._request, "problem.html", status=outcome.status or 500,
                problem=outcome.said, code=outcome.status or 500,
            )  # fmt: skip
            await page(self._request.scope, self._request.receive, self._send)
            return
        name = f'attachment; filename="{self._name}.out"'
        await start(self._send, "application/octet-stream", disposition=name, size=self._size)
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            await write(self._send, chunk)
        await self._send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        """Let go of what was kept."""
        self._file.close()


async def start(
    send: Send, content: str, *, disposition: str | None = None, size: int | None = None
) -> None:
    """Send the head of an answer."""
    headers = {**HEADERS, "Content-Type": content, "X-Accel-Buffering": "no"}
    if disposition is not None:
        headers["Content-Disposition"] = disposition
    if size is not None:
        headers["Content-Length"] = str(size)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def write(send: Send, data: bytes) -> None:
    """Send a piece of an answer; waits while nobody reads."""
    await send({"type": "http.response.body", "body": data, "more_body": True})
