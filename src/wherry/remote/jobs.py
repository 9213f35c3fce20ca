"""Runs that nobody waits for: what became of each is kept for a while, for who asked for it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry.errors import NotFound, WherryError
from wherry.models import new_id
from wherry.remote import answers
from wherry.service.live import CallerLeft
from wherry.web.duplex import Duplex

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from wherry.remote.model import Answer, Caller
    from wherry.remote.turns import Turn, Turns
    from wherry.remote.windows import Burst

ROOT = "/wherry/v1/runs/"
_KEPT_BYTES = 64 * 1024 * 1024
_KEPT_SECONDS = 3600.0
_KEPT = 10_000
_ENDED = answers.text("the run was ended\n", status=499)
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """One run."""

    id: str
    owner: str
    """Name of the token that asked for it."""
    turn: Turn
    task: asyncio.Task[None] | None = None
    answer: Answer | None = None
    ended: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of its answer."""
        return len(self.answer.body) if self.answer and isinstance(self.answer.body, bytes) else 0


class Jobs:
    """All of them: in memory, so that they end with the server. Those that ended are bounded."""

    def __init__(
        self,
        turns: Turns,
        *,
        strict: bool,
        base: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep runs of one server; ``base`` is its URL, where others forward requests to it."""
        self._turns = turns
        self._base = base
        self._strict = strict
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._ended: OrderedDict[str, Job] = OrderedDict()
        self._bytes = 0

    def begin(self, caller: Caller, turn: Turn, *, work: Callable[[], Awaitable[Answer]]) -> Job:
        """Begin a run, whose turn is given up at its end."""
        job = Job(id=new_id(), owner=caller.name, turn=turn)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._do(job, work))
        return job

    def location(self, job: Job) -> str:
        """Return where its state is read."""
        return f"{self._base}{ROOT}{job.id}"

    def described(self, job: Job) -> dict[str, Any]:
        """Return its state as JSON values."""
        if job.answer is None:
            position = self._turns.place_of(job.turn)
            state = "queued" if position else "running"
            return {"id": job.id, "state": state, "position": position}
        body = job.answer.body
        text = body.decode() if isinstance(body, bytes) else ""
        is_json = job.answer.headers.get("Content-Type", "").startswith("application/json")
        done: Any = json.loads(text) if is_json else text
        return {"id": job.id, "state": "ended", "status": job.answer.status, "answer": done}

    def find(self, caller: Caller, id_: str) -> Job:
        """Return a run of the caller's, or of anybody's for an admin; raises NotFound."""
        self._expire()
        job = self._jobs.get(id_) or self._ended.get(id_)
        if job is None or not (caller.is_admin or job.owner == caller.name):
            raise NotFound("there is no such run, or it ended too long ago")
        return job

    async def end(self, job: Job) -> None:
        """End a run, and its container with it; harmless if it has ended."""
        if job.task is not None and not job.task.done():
            job.task.cancel()
            await asyncio.wait([job.task])
            if job.id in self._jobs:  # it was ended before it began
                job.answer = _ENDED
                self._turns.leave(job.turn)
                self._keep(job)

    async def aclose(self) -> None:
        """End all of them. Idempotent."""
        for job in tuple(self._jobs.values()):
            await self.end(job)

    def burst(self, method: str, path: str) -> Burst | None:
        """Count a question as those for lists are."""
        del path
        return None if method == "DELETE" else "high"

    async def serve(self, scope: Scope, *, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer ``GET`` with the state of a run; ``DELETE`` ends it."""
        with suppress(CallerLeft):
            await self._serve(Duplex(scope, receive=receive, send=send), caller)

    async def _serve(self, duplex: Duplex, caller: Caller) -> None:
        async with duplex as exchange:
            scope = exchange.scope
            try:
                answer = await self._answer(scope["method"], scope["path"], caller=caller)
            except WherryError as error:
                answer = answers.failure(error, strict=True)
            assert isinstance(answer.body, bytes)
            headers = [(name.lower().encode(), value.encode())
                       for name, value in answer.headers.items()]  # fmt: skip
            await exchange.answer(answer.status, answer.body, headers=headers)

    async def _answer(self, method: str, path: str, *, caller: Caller) -> Answer:
        job = self.find(caller, path.removeprefix(ROOT))
        if method == "DELETE":
            await self.end(job)
        elif method not in ("GET", "HEAD"):
            raise NotFound(f"Cannot {method} {path}")
        pause = {} if job.answer else {"Retry-After": str(self._turns.expected_wait())}
        return answers.document(self.described(job), headers=pause)

    async def _do(self, job: Job, work: Callable[[], Awaitable[Answer]]) -> None:
        try:
            job.answer = await work()
        except WherryError as error:
            job.answer = answers.failure(error, strict=self._strict)
        except asyncio.CancelledError:
            job.answer = _ENDED
            raise
        except Exception:  # noqa: BLE001 - whatever it is, a stranger hears nothing of it
            _log.exception("a mistake in the remote container API")
            job.answer = answers.mistake()
        finally:
            self._turns.leave(job.turn)
            self._keep(job)

    def _keep(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        job.ended = self._clock()
        self._ended[job.id] = job
        self._bytes += job.size
        self._expire()

    def _expire(self) -> None:
        """Forget what ended long ago, and the oldest of what is too much."""
        old = self._clock() - _KEPT_SECONDS
        while self._ended:
            first = next(iter(self._ended.values()))
            is_too_much = self._bytes > _KEPT_BYTES or len(self._ended) > _KEPT
            if first.ended > old and not is_too_much:
                return
            self._ended.popitem(last=False)
            self._bytes -= first.size
