"""What can be done from the pages: every button as the plain form that it is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.dashboard import Board, board
from tests.support.dashboard_pages import PROGRAMS, check_safe, queued, until

if TYPE_CHECKING:
    from wherry.calls import QueuedRequest
    from wherry.calls.performing import Body, Run, Write
    from wherry.functions.model import Deployed


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Board]:
    async with board(tmp_path, programs=PROGRAMS) as found:
        yield found


async def test_a_form_deploys_and_the_page_of_the_function_says_how(made: Board) -> None:
    answer = await made.post(
        "/ui/deploy", service="upper", namespace="openfaas-fn", image="busybox",
        command="tr 'a-z' A-Z", env="LEVEL=info\nEMPTY=", memory="64Mi", timeout="20s",
        labels="team=text", read_only="on",
    )  # fmt: skip
    assert answer.status == 303
    assert answer.headers["location"] == "/ui/functions/upper.openfaas-fn?note=deployed"
    deployment = made.dashboard.functions.get("upper").deployment
    assert deployment.command == ["tr", "a-z", "A-Z"]
    assert deployment.env_vars == {"LEVEL": "info", "EMPTY": ""}
    assert deployment.labels == {"team": "text", "wherry.timeout": "20s"}
    assert deployment.read_only_root_filesystem
    text = await made.get(answer.headers["location"])
    assert "tr a-z A-Z" in text
    assert "It is deployed" in text


async def test_a_wrong_field_comes_back_with_what_was_typed(made: Board) -> None:
    answer = await made.post("/ui/deploy", service="upper", image="busybox", timeout="soon",
                             command="tr a-z A-Z")  # fmt: skip
    assert answer.status == 400
    assert "labels.wherry.timeout" in answer.text
    assert 'value="tr a-z A-Z"' in answer.text
    assert re.search(r'id="timeout"[^>]* aria-invalid="true"', answer.text)
    for fields in ({"command": "it's"}, {"env": "no equals"}, {"service": "../x"}):
        found = await made.post("/ui/deploy", **{"service": "a", "image": "b", **fields})
        assert found.status == 400


async def test_what_the_form_does_not_know_is_kept_when_a_function_is_changed(made: Board) -> None:
    await made.deploy("upper", "cat", annotations={"a": "b"}, constraints=["c"],
                      env_vars={"TEXT": "two\nlines", "ONE": "1"})  # fmt: skip
    fields = {"service": "upper", "namespace": "openfaas-fn", "image": "busybox"}
    text = await made.get("/ui/deploy?from=upper.openfaas-fn")
    assert "ONE=1" in text
    answer = await made.post("/ui/deploy?from=upper.openfaas-fn", env="ONE=2",
                             **{"from": "upper.openfaas-fn"}, **fields)  # fmt: skip
    assert answer.status == 303
    deployment = made.dashboard.functions.get("upper").deployment
    assert deployment.annotations == {"a": "b"}
    assert deployment.constraints == ["c"]
    assert deployment.env_vars == {"TEXT": "two\nlines", "ONE": "2"}


async def test_a_function_is_scaled_and_a_wrong_number_is_explained(made: Board) -> None:
    await made.deploy("upper", "cat")
    assert (await made.post("/ui/functions/upper/scale", replicas="3")).status == 303
    assert made.dashboard.functions.get("upper").replicas == 3
    for wrong in ("", "-1", "999", "\u0663"):
        answer = await made.post("/ui/functions/upper/scale", replicas=wrong)
        assert answer.status == 400
        assert "replicas:" in answer.text


async def test_removing_asks_first(made: Board) -> None:
    await made.deploy("upper", "cat")
    assert "Remove upper?" in await made.get("/ui/functions/upper/remove")
    assert len(made.dashboard.functions.list()) == 1
    assert (await made.post("/ui/functions/upper/remove")).headers[
        "location"
    ] == "/ui/?note=removed"
    assert made.dashboard.functions.list() == []


async def test_an_answer_comes_as_a_page_as_lines_or_as_a_file(made: Board) -> None:
    await made.deploy("upper", "tr", "a-z", "A-Z")
    page = await made.post("/ui/functions/upper/invoke", text="a < b", how="now")
    assert ">A &lt; B</pre>" in page.text
    assert "The call succeeded" in page.text
    kind = "application/x-www-form-urlencoded"
    lines = await made.ask(
        "POST /ui/functions/upper/invoke", b"text=a%20%3C%20b",
        headers={"Content-Type": kind, "Accept": "application/x-ndjson"},
    )  # fmt: skip
    found = [json.loads(line) for line in lines.text.splitlines()]
    assert found[1] == {"stdout": "A < B"}
    assert found[-1]["end"]["ok"] is True
    assert found[0]["id"] == found[-1]["end"]["id"]
    file = await made.post("/ui/functions/upper/invoke", text="a < b", how="download")
    assert file.body == b"A < B"
    assert file.headers["content-disposition"] == 'attachment; filename="upper.out"'


async def test_a_download_of_a_call_that_failed_is_a_page_that_says_why(made: Board) -> None:
    await made.deploy("evil", image="evil")
    answer = await made.post("/ui/functions/evil/invoke", how="download")
    assert answer.status == 500
    assert "non-zero exit status 3" in answer.text
    check_safe(answer.text)


async def test_a_download_of_more_than_is_taken_is_a_page_that_says_so(tmp_path: Path) -> None:
    async with board(tmp_path, max_upload=4) as made:
        await made.deploy("long", "echo", "0123456789")
        answer = await made.post("/ui/functions/long/invoke", how="download")
        assert answer.status == 413
        assert "The call failed: the answer: more than 4 B" in answer.text


async def test_functions_of_other_modes_are_called_in_their_own_way(tmp_path: Path) -> None:
    class Answers:
        async def __call__(
            self, deployed: Deployed, request: QueuedRequest, *, body: Body, run: Run, write: Write
        ) -> None:
            sent = b"".join([chunk async for chunk in body])
            await write(f"{deployed.name} {request.method} {sent.decode()}".encode())
            run.status = 418

    async with board(tmp_path, performers={"cgi": Answers()}) as made:
        await made.deploy("teapot", "true", labels={"wherry.mode": "cgi"})
        answer = await made.post("/ui/functions/teapot/invoke", text="tea")
        assert ">teapot POST tea</pre>" in answer.text
        assert "answered with status 418" in answer.text


async def test_a_call_that_cannot_be_made_says_why(made: Board) -> None:
    await made.deploy("gone", "no-such-program")
    answer = await made.post("/ui/functions/gone/invoke", text="")
    assert "has no program" in answer.text


async def test_an_answer_is_a_whole_page_whatever_its_address_says(made: Board) -> None:
    await made.deploy("cat", "cat")
    answer = await made.post("/ui/functions/cat/invoke?part=live", text="x")
    assert answer.text.startswith("<!doctype html>")


async def test_more_than_a_page_shows_is_cut_and_said(tmp_path: Path) -> None:
    async with board(tmp_path, max_shown=4) as made:
        await made.deploy("cat", "cat")
        answer = await made.post("/ui/functions/cat/invoke", text="0123456789")
        assert ">0123</pre>" in answer.text
        assert "longer than is shown" in answer.text


async def test_what_a_function_does_not_take_is_refused_by_the_form_too(made: Board) -> None:
    await made.deploy("cat", "cat", labels={"wherry.max_body": "4"})
    for how in ("now", "queue", "download"):
        answer = await made.post("/ui/functions/cat/invoke", text="12345", how=how)
        assert answer.status == 413
    assert made.dashboard.functions.invocations("cat.openfaas-fn") == 0


async def test_whoever_leaves_ends_the_call(made: Board) -> None:
    await made.deploy("stubborn", image="stubborn")
    service, deployed = made.dashboard.service, made.dashboard.functions.get("stubborn")
    left = asyncio.Event()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    asked = [{"type": "http.request", "body": b"text=x", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        pieces.put_nowait(message.get("body", b""))

    scope = made.ask.scope("POST /ui/functions/stubborn/invoke", ())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(made.app(scope, receive, send))
        while b"still here" not in await pieces.get():
            pass
        assert service.running(deployed) == 1
        left.set()
    assert service.running(deployed) == 0


async def test_a_queued_call_is_followed_cancelled_and_retried(made: Board) -> None:
    await made.deploy("stubborn", image="stubborn")
    answer = await made.post("/ui/functions/stubborn/invoke", text="x", how="queue")
    path = answer.headers["location"].partition("?")[0]
    record = await until(made, path.rpartition("/")[2], "running")
    text = await made.get(path)
    assert "Cancel" in text
    assert "data-refresh" in text
    assert (await made.post(f"{path}/cancel")).status == 303
    await until(made, record.id, "cancelled")
    text = await made.get(path)
    assert "Retry" in text
    assert "data-refresh" not in text
    assert (await made.post(f"{path}/cancel")).status == 409
    assert (await made.post(f"{path}/retry")).status == 303
    await until(made, record.id, "running")


async def test_dead_letters_are_shown_and_queued_again(made: Board) -> None:
    await made.deploy("evil", image="evil")
    for _ in range(2):
        await until(made, (await queued(made, "evil")).id, "dead")
    text = await made.get("/ui/queue")
    assert text.count('class="badge dead"') == 2
    await made.deploy("evil", "true")
    assert (await made.post("/ui/queue/requeue")).status == 303
    assert (await made.dashboard.calls.stats()).dead == 0
