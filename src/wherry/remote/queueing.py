"""``PUT /`` beyond capacity waits its turn; with ``Prefer: respond-async`` nobody waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

from wherry.remote import requests
from wherry.remote.answers import document
from wherry.remote.faults import Malformed
from wherry.remote.streaming import is_stream
from wherry.remote.turns import POSITION

if TYPE_CHECKING:
    from wherry.remote.jobs import Jobs
    from wherry.remote.model import Answer, Call, Handler
    from wherry.remote.turns import Turn, Turns


class Queued:
    """A :data:`wherry.remote.model.Handler` around another one."""

    def __init__(self, otherwise: Handler, *, turns: Turns, jobs: Jobs) -> None:
        self._otherwise = otherwise
        self._turns = turns
        self._jobs = jobs

    async def __call__(self, call: Call) -> Answer:
        """Let a run wait for its turn; raises :class:`wherry.remote.turns.Full`."""
        if call.method != "PUT" or call.target:
            return await self._otherwise(call)
        requests.run_request(call.fields)  # what cannot be right need not wait to be told so
        if wants_async(call):
            if is_stream(call):
                raise Malformed("prefer: a stream is answered while it is written, and not later")
            return self._later(call)
        turn = self._turns.enter()
        try:
            answer = await self._in_turn(call, turn)
        except BaseException:
            self._turns.leave(turn)
            raise
        told = replace(answer, headers={**answer.headers, POSITION: str(turn.position)})
        if isinstance(answer.body, bytes):
            self._turns.leave(turn)
            return told
        return replace(told, body=_Held(answer.body, turn, turns=self._turns))

    async def _in_turn(self, call: Call, turn: Turn) -> Answer:
        await turn.granted.wait()
        return await self._otherwise(call)

    def _later(self, call: Call) -> Answer:
        turn = self._turns.enter()
        job = self._jobs.begin(call.caller, turn, work=lambda: self._in_turn(call, turn))
        headers = {
            "Location": self._jobs.location(job),
            "Preference-Applied": "respond-async",
            POSITION: str(turn.position),
        }
        return document(self._jobs.described(job), status=202, headers=headers)


def wants_async(call: Call) -> bool:
    """Whether a client would rather come back for the answer (RFC 7240, section 4.1)."""
    wishes = call.headers.get("prefer", "").split(",")
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in wishes)


class _Held:
    """A body that keeps its place until it is closed."""

    def __init__(self, body: AsyncIterator[bytes], turn: Turn, *, turns: Turns) -> None:
        self._body = body
        self._turn = turn
        self._turns = turns

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._body)

    async def aclose(self) -> None:
        try:
            if (close := getattr(self._body, "aclose", None)) is not None:
                await close()
        finally:
            self._turns.leave(self._turn)
