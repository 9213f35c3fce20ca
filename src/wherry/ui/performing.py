"""One call made by a form, told piece by piece to whoever shows it."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wherry.calls.model import QueuedRequest
from wherry.calls.performing import Run
from wherry.errors import WherryError
from wherry.models import Exit, new_id
from wherry.service.outcome import describe_timeout, status_of_error, status_of_exit
from wherry.ui.formats import visible

if TYPE_CHECKING:
    from wherry.functions.model import Deployed
    from wherry.ui.forms import Content
    from wherry.ui.parts import Dashboard

Kind = Literal["stdout", "stderr"]
Tell = Callable[[Kind, bytes], Awaitable[None]]
"""Takes what the function wrote; waits while nobody reads."""


@dataclass(slots=True)
class Outcome:
    """What came of a call."""

    id: str = field(default_factory=new_id)
    ok: bool = False
    status: int | None = None
    said: str = ""
    """In a sentence: how it ended."""
    stdout_bytes: int = 0


def request_of(deployed: Deployed, *, size: int, id: str | None = None) -> QueuedRequest:  # noqa: A002
    """Return the call that a form asks for, as a POST to the function's own address is one."""
    content = ("content-type", "application/octet-stream")
    return QueuedRequest(
        name=deployed.name,
        namespace=deployed.namespace,
        id=id or new_id(),
        env={"Http_Method": "POST", "Http_Path": "/", "Http_Content_Length": str(size)},
        headers=(("host", "dashboard"), content, ("content-length", str(size))),
    )


async def perform(
    dashboard: Dashboard, deployed: Deployed, *, body: Content, outcome: Outcome, tell: Tell
) -> None:
    """Make a call to its end, and note in ``outcome`` what came of it; raises no error of ours."""

    async def write(data: bytes) -> None:
        outcome.stdout_bytes += len(data)
        await tell("stdout", data)

    request = request_of(deployed, size=body.size, id=outcome.id)
    performer = dashboard.performers.get(deployed.settings.mode)
    try:
        if performer is None:
            await _program(dashboard, deployed, request=request, body=body, outcome=outcome,
                           tell=tell)  # fmt: skip
            return
        run = Run()
        await performer(deployed, request, body=body, run=run, write=write)
        outcome.status = run.status
        outcome.ok = run.status is not None and run.status < 400
        outcome.said = f"The call answered with status {run.status}."
    except (WherryError, OSError) as error:
        outcome.status = status_of_error(error) if isinstance(error, WherryError) else 502
        outcome.ok, outcome.said = False, f"The call failed: {visible(str(error))}."


async def _program(
    dashboard: Dashboard,
    deployed: Deployed,
    *,
    request: QueuedRequest,
    body: Content,
    outcome: Outcome,
    tell: Tell,
) -> None:
    call = dashboard.service.call(
        deployed, body, trigger="dashboard", id=request.id, env=request.env
    )
    async with call as live:
        outcome.id = live.call.id
        async for event in live:
            if not isinstance(event, Exit):
                outcome.stdout_bytes += len(event.data) * (event.stream == "stdout")
                await tell(event.stream, event.data)
                continue
            outcome.status, outcome.ok = status_of_exit(event), event.ok
            outcome.said = f"The call {event.describe()}."
            if event.reason == "timeout":
                outcome.said = f"The call failed: {describe_timeout(live.call)}."
            live.finish(outcome.status)


class Shown:
    """What a page shows of two streams of bytes: text, and no more than so many bytes."""

    def __init__(self, most: int) -> None:
        decoder = getincrementaldecoder("utf-8")
        self._decoders = {"stdout": decoder("replace"), "stderr": decoder("replace")}
        self._left = most
        self.cut = False
        """Whether there was more than is shown."""

    def text(self, kind: Kind, data: bytes) -> str:
        """Return what is to be shown of some bytes."""
        shown = data[: self._left]
        self.cut = self.cut or len(shown) < len(data)
        self._left -= len(shown)
        return visible(self._decoders[kind].decode(shown))

    def rest(self) -> list[tuple[Kind, str]]:
        """Return what is to be shown when the streams have ended within a character."""
        ends = ((kind, self._decoders[kind].decode(b"", final=True)) for kind in _KINDS)
        return [(kind, visible(text)) for kind, text in ends if text]


_KINDS: tuple[Kind, ...] = ("stdout", "stderr")
