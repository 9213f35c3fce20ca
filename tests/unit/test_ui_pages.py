"""What the pages show, over a real store and queue, and that nobody's text becomes a page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import PlainTextResponse
from tests.support.dashboard import Board, board
from tests.support.dashboard_pages import EVIL, PROGRAMS, check_safe, queued, until
from tests.support.functions import deployed as declared

from wherry.functions.model import Deployment, Resources
from wherry.ui.rendering import HERE

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

    from wherry.functions.model import Deployed


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Board]:
    async with board(tmp_path, programs=PROGRAMS) as found:
        yield found


async def test_empty_pages_say_what_to_do(made: Board) -> None:
    assert "Nothing is deployed yet" in await made.get("/ui/")
    assert "Nothing was called yet" in await made.get("/ui/calls")
    text = await made.get("/ui/queue")
    assert "Nothing waits" in text
    assert "<table" not in text


async def test_every_answer_keeps_the_browser_safe(made: Board) -> None:
    for path in ("/ui/", "/ui/nowhere", "/ui/static/dashboard.js", "/ui/static/nothing"):
        answer = await made.ask(f"GET {path}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_template_has_a_script_or_a_style_of_its_own() -> None:
    for path in (HERE / "templates").iterdir():
        text = path.read_text()
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! defer src=)", text
        )
        # What is marked as safe is the place for output that is escaped piece by piece.
        assert set(re.findall(r"(\w+)\|safe", text)) <= {"here"}


async def test_static_files_are_those_and_no_others(made: Board) -> None:
    assert (await made.ask("GET /ui/static/..%2F__init__.py")).status == 404
    assert (await made.ask("GET /ui/static/nothing.css")).status == 404


async def test_names_and_settings_of_strangers_are_text(made: Board) -> None:
    await made.deploy(
        "evil", image="evil", env_vars={"A": EVIL}, labels={EVIL: EVIL},
        annotations={"c": EVIL}, limits=Resources(memory="64Mi"),
    )  # fmt: skip
    made.dashboard.functions.problems["broken.openfaas-fn"] = EVIL
    own = "/ui/functions/evil"
    for path in ("/ui/", own, f"{own}/remove", "/ui/deploy?from=evil"):
        text = await made.get(path)
        check_safe(text)
    assert "&lt;script&gt;alert(1)" in await made.get("/ui/functions/evil")


@pytest.mark.parametrize(
    "path",
    [
        "/ui/?q=%3Cscript%3Ealert(1)%3C/script%3E&order=%22%3E%3Cimg%3E&page=%22",
        "/ui/?note=%3Cscript%3E&namespace=%3Cscript%3E",
        "/ui/calls?function=%3Cscript%3Ealert(1)%3C/script%3E&state=%22%3E&before=x",
        "/ui/functions/%3Cscript%3E",
        "/ui/calls/%3Cscript%3E",
        "/ui/deploy?from=%3Cscript%3E",
        "/ui/%3Cscript%3E",
    ],
)
async def test_addresses_of_strangers_are_text(path: str, made: Board) -> None:
    check_safe((await made.ask(f"GET {path}")).text)


async def test_what_a_function_writes_is_text_on_every_page(made: Board) -> None:
    await made.deploy("evil", image="evil")
    answer = await made.post("/ui/functions/evil/invoke", text="x", how="now")
    check_safe(answer.text)
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "returned non-zero exit status 3" in answer.text
    record = await until(made, (await queued(made, "evil")).id, "dead")
    text = await made.get(f"/ui/calls/{record.id}")
    check_safe(text)
    assert text.count("&lt;script&gt;alert(1)") == 2  # stdout and stderr
    assert "\x1b" not in text


async def test_output_that_is_downloaded_is_never_shown_by_a_browser(made: Board) -> None:
    await made.deploy("evil", image="evil")
    record = await until(made, (await queued(made, "evil")).id, "dead")
    answer = await made.ask(f"GET /ui/calls/{record.id}/output")
    assert answer.body == EVIL.encode()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_looking_changes_nothing(made: Board) -> None:
    await made.deploy("upper", "cat")
    for path in ("scale", "invoke"):
        answer = await made.ask(f"GET /ui/functions/upper/{path}")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert (await made.ask("GET /ui/queue/requeue")).status == 405
    assert (await made.ask("HEAD /ui/")).status == 200


async def test_the_timeline_has_every_moment_of_a_call(made: Board) -> None:
    await made.deploy("upper", "tr", "a-z", "A-Z")
    record = await until(made, (await queued(made, "upper", b"hi")).id, "done")
    text = await made.get(f"/ui/calls/{record.id}")
    moments = re.findall(r'class="what">([^<]+)<', text)
    assert moments == ["queued", "container ready", "first byte", "done"]
    assert "HI" in text


async def test_a_thousand_functions_come_in_pages(tmp_path: Path) -> None:
    async with board(tmp_path, works=False) as made:
        for number in range(1000):
            made.dashboard.functions._functions[f"f{number:04}.openfaas-fn"] = declared(
                f"f{number:04}"
            )
        first = await made.get("/ui/")
        assert first.count("<tr data-key") == 50
        assert "1 to 50 of 1\N{NARROW NO-BREAK SPACE}000 functions" in first
        assert "Page 1 of 20" in first
        assert len(first) < 100_000
        last = await made.get("/ui/?page=999")
        assert "f0999" in last
        assert "Page 20 of 20" in last
        found = await made.get("/ui/?q=f0123")
        assert found.count("<tr data-key") == 1
        assert "No function has" in await made.get("/ui/?q=nothing")
        assert (await made.get("/ui/?order=rate")).count("<tr data-key") == 50


async def test_the_busiest_come_first_when_asked(made: Board) -> None:
    for name in ("a", "b", "c"):
        await made.deploy(name, "true")
    await made.post("/ui/functions/b/invoke")
    keys = re.findall(r'data-key="(\w+)', await made.get("/ui/?order=rate"))
    assert keys == ["b", "a", "c"]


async def test_the_live_part_of_a_page_is_no_whole_page(made: Board) -> None:
    await made.deploy("upper", "cat")
    for path in ("/ui/", "/ui/functions/upper", "/ui/queue", "/ui/calls"):
        whole = await made.get(path)
        (address,) = re.findall(r'data-refresh="([^"]+)"', whole)
        part = await made.get(address.replace("&amp;", "&"))
        assert "<html" not in part
        assert "data-live" in part


class Clerk:
    """A guard that lets everybody in; ``may`` is what they may besides looking."""

    def __init__(self, *may: str) -> None:
        self.name = "token reader"
        self._may = may

    def caller(self, scope: Scope) -> Clerk:
        return self

    def may(self, needs: str) -> bool:
        return needs in self._may

    async def call_refusal(self, scope: Scope, deployed: Deployed) -> Response | None:
        return None if self._may else PlainTextResponse("no", 403)


async def test_who_may_only_look_is_offered_nothing_else(tmp_path: Path) -> None:
    async with board(tmp_path, guard=Clerk(), programs=PROGRAMS) as made:
        await made.dashboard.functions.deploy(Deployment(service="evil", image="evil"))
        dead = await until(made, (await queued(made, "evil")).id, "dead")
        paths = ("/ui/", "/ui/functions/evil", "/ui/queue", f"/ui/calls/{dead.id}")
        for path in paths:
            text = await made.get(path)
            assert 'method="post"' not in text
            assert "/ui/deploy" not in text
            assert "token reader" in text
        for path in ("/ui/deploy", "/ui/functions/evil/remove"):
            text = await made.get(path)
            assert "token reader may look and not change" in text
            assert 'type="submit"' not in text
        assert (await made.post("/ui/functions/evil/invoke", text="x")).status == 403


async def test_problems_of_files_are_shown_where_they_belong(tmp_path: Path) -> None:
    class Files:
        problems = {tmp_path / "wherry.toml": f"line 3: {EVIL}"}  # noqa: RUF012

    async with board(tmp_path / "state", files=Files()) as made:
        source = str(tmp_path / "wherry.toml")
        await made.dashboard.functions.deploy(
            Deployment(service="upper", image="busybox"), source=source
        )
        await made.deploy("other", "cat")
        for path in ("/ui/", "/ui/functions/upper"):
            text = await made.get(path)
            assert "line 3: &lt;script" in text
            check_safe(text)
        assert "line 3" not in await made.get("/ui/functions/other")
        assert (await made.post("/ui/functions/upper/remove")).status == 409
