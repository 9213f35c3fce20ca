"""Queued calls of functions that answer requests themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.queue_gateway import queue_gateway

from wherry.triggers.cgi.handler import Cgi
from wherry.triggers.http.parts import Parts
from wherry.triggers.http.replay import Replay

SCRIPT = """
echo Content-Type: text/plain; echo; echo $REQUEST_METHOD $PATH_INFO $QUERY_STRING $HTTP_X_WHO; cat
"""


async def test_a_queued_call_of_a_cgi_program_is_its_request_made_later(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path) as (ask, on):
        parts = parts_of(on)
        on.workers.add_performer("cgi", Replay(Cgi(parts)))
        on.declared.add("page", "busybox", command=("sh", "-c", SCRIPT), mode="cgi")
        answer = await ask("POST /async-function/page/a?b=c", b"body", headers={"X-Who": "me"})
        assert answer.status == 202
        call = await on.until(answer.headers["x-call-id"])
        assert (call.state, call.status, call.attempts) == ("done", 200, 1)
        assert await on.result(call.id) == b"POST /a b=c me\nbody"
        assert [each.trigger for each in await on.store.list()] == ["async"]


async def test_what_an_answer_says_decides_whether_it_is_asked_for_again(tmp_path: Path) -> None:
    statuses = iter((503, 404))
    asked: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope)
        assert (await receive())["body"] == b"hello"
        status = next(statuses)
        headers = [(b"retry-after", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"%d" % status})

    async with queue_gateway(tmp_path) as (_, on):
        on.workers.add_performer("http", Replay(app))
        on.declared.add("web", "busybox", mode="http")
        call = await on.until((await on.put("web")).id)
        assert (call.state, call.status, call.attempts) == ("dead", 404, 2)
        assert await on.result(call.id) == b"404"
        assert dict(asked[0]["headers"])[b"content-length"] == b"5"


async def test_a_mode_that_nobody_performs_is_said_to_be_the_reason(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path) as (_, on):
        on.declared.add("web", "busybox", mode="http", retries=0)
        call = await on.until((await on.put("web")).id)
        assert call.state == "dead"
        assert "mode 'http'" in (call.error or "")


def parts_of(on: Any) -> Parts:
    return Parts(service=on.service, functions=on.declared, calls=on.store)
