"""The pages of schedules, over a real scheduler and its store."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.dashboard import Board, board
from tests.support.dashboard_pages import EVIL, check_safe
from tests.support.scheduling import Scheduling, SimulatedClock, scheduling

from wherry.errors import NotFound
from wherry.models import Exit, Output
from wherry.server.schedule_pages import SchedulePages, what_of
from wherry.triggers.cron.model import Definition
from wherry.triggers.cron.service import Schedules
from wherry.triggers.cron.sources import ScheduleSources

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Schedule
    from wherry.triggers.cron.outputs import Write

HOUR, DAY = 3600.0, 86400.0


@dataclass
class Made:
    """A dashboard with schedules that have run for two days."""

    board: Board
    on: Scheduling
    sources: ScheduleSources

    async def get(self, path: str) -> str:
        return await self.board.get(path)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    clock = SimulatedClock(time.time() // DAY * DAY - 2 * DAY)
    async with scheduling(tmp_path, clock=clock) as on:
        sources = ScheduleSources(on.scheduler, [tmp_path / "broken.ini"])
        pages = SchedulePages(Schedules(on.scheduler, sources))
        async with board(tmp_path, schedules=pages) as found:
            yield Made(found, on, sources)


async def test_a_server_without_schedules_has_no_entry_and_no_page(tmp_path: Path) -> None:
    async with board(tmp_path) as found:
        assert "/ui/schedules" not in await found.get("/ui/")
        assert (await found.ask("GET /ui/schedules")).status == 404


async def test_an_empty_page_says_what_to_do(made: Made) -> None:
    text = await made.get("/ui/schedules")
    assert "Nothing is scheduled yet" in text
    assert 'href="/ui/schedules" aria-current="page"' in text


async def test_the_week_of_each_schedule_is_drawn_and_said(made: Made) -> None:
    made.on.did.exits = [Exit(0), Exit(0), Exit(0), Exit(3)]
    await made.on.add("nightly", "0 3 * * *")
    await made.on.add("half", "@every 12h", kind="local", function=None, command=["date"])
    await made.on.pass_time(DAY + 4 * HOUR)
    text = await made.get("/ui/schedules")
    check_safe(text)
    nightly = row(text, "nightly")
    assert "1 succeeded, 1 failed" in nightly
    assert 'aria-label="Last 7 days: 1 succeeded, 1 failed"' in nightly
    assert len(re.findall(r'<path class="(succeeded|failed)"', nightly)) == 2
    assert "function job" in nightly
    assert "2 succeeded" in row(text, "half")
    assert "local date" in row(text, "half")
    coming = text[text.index("Next runs") : text.index("The last 7 days")]
    assert re.findall(r"/ui/schedules/(\w+)", coming) == ["half", "nightly"]


def row(text: str, name: str) -> str:
    found = re.search(rf'<tr data-key="{name}">.*?</tr>', text, re.DOTALL)
    assert found
    return found[0]


async def test_a_long_list_has_pages_and_can_be_searched(made: Made) -> None:
    for number in range(55):
        await made.on.add(f"job {number:02}", "@daily")
    text = await made.get("/ui/schedules")
    assert "Page 1 of 2" in text
    assert "job 49" in text
    assert "job 50" not in text
    assert "job 54" in await made.get("/ui/schedules?page=2")
    text = await made.get("/ui/schedules?q=JOB+07")
    assert len(re.findall("<tr data-key", text)) == 1
    assert "Show all 55" in await made.get("/ui/schedules?q=%3Cscript%3E")


async def test_a_schedule_is_run_and_its_page_shows_what_it_wrote(made: Made) -> None:
    async def evil(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        write(Output("stdout", EVIL.encode()))
        write(Output("stderr", EVIL.encode() + b"\x1b[2J\n"))
        return Exit(3)

    made.on.scheduler._do = evil
    await made.on.add("nightly", "0 3 * * *")
    answer = await made.board.post("/ui/schedules/nightly/run")
    assert answer.status == 303
    page = answer.headers["location"]
    assert re.fullmatch(r"/ui/schedules/nightly/runs/[^/?]+\?note=began", page)
    await made.on.scheduler.settled()
    text = await made.get(page)
    check_safe(text)
    assert text.count("&lt;script&gt;alert(1)") == 2
    assert "\x1b" not in text
    assert "returned non-zero exit status 3" in text
    assert "data-refresh" not in text
    download = await made.board.ask(f"GET {page.partition('?')[0]}/stdout")
    assert download.body == EVIL.encode()
    assert download.headers["content-type"] == "application/octet-stream"
    assert download.headers["content-disposition"].startswith("attachment")
    assert (await made.board.ask(f"GET {page.partition('?')[0]}/passwd")).status == 404
    text = await made.get("/ui/schedules/nightly")
    check_safe(text)
    assert page.partition("?")[0] in text
    assert "1 failed" in text


async def test_what_a_run_has_written_by_now_is_shown_while_it_goes_on(made: Made) -> None:
    wrote, gate = asyncio.Event(), asyncio.Event()

    async def slow(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        write(Output("stdout", b"half of it"))
        wrote.set()
        await gate.wait()
        return Exit(0)

    made.on.scheduler._do = slow
    await made.on.add("slow", "@daily")
    page = (await made.board.post("/ui/schedules/slow/run")).headers["location"]
    await wrote.wait()
    text = await made.get(page)
    assert "half of it" in text
    assert "data-refresh" in text
    assert "It wrote nothing yet" in text  # on stderr
    assert 'class="badge running"' in await made.get("/ui/schedules")
    gate.set()
    await made.on.scheduler.settled()
    part = await made.get(f"{page}&part=live")
    assert 'data-done="Run succeeded"' in part
    assert "half of it" in part


async def test_a_schedule_is_paused_and_resumed_by_its_buttons(made: Made) -> None:
    await made.on.add("two words", "@daily")
    answer = await made.board.post("/ui/schedules/two%20words/pause", back="all")
    assert answer.headers["location"] == "/ui/schedules?note=paused"
    text = await made.get("/ui/schedules")
    assert 'class="badge paused"' in text
    assert "/ui/schedules/two%20words/resume" in text
    assert "Next runs" not in text
    assert "None until it is resumed" in await made.get("/ui/schedules/two%20words")
    answer = await made.board.post("/ui/schedules/two%20words/resume")
    assert answer.headers["location"] == "/ui/schedules/two%20words?note=resumed"
    assert not made.on.scheduler.get("two words").entry.paused


async def test_what_does_not_exist_is_told_and_looking_changes_nothing(made: Made) -> None:
    await made.on.add("nightly", "@daily")
    for path in ("nothing", "nothing/runs/x", "nightly/runs/x", "%3Cscript%3E"):
        answer = await made.board.ask(f"GET /ui/schedules/{path}")
        assert answer.status == 404
        check_safe(answer.text)
    assert (await made.board.ask("GET /ui/schedules/nightly?before=x")).status == 400
    for order in ("run", "pause", "resume"):
        answer = await made.board.ask(f"GET /ui/schedules/nightly/{order}")
        assert answer.status == 405
        assert (await made.board.post(f"/ui/schedules/nothing/{order}")).status == 404
    assert await made.on.runs("nightly") == []


def test_what_a_schedule_runs_is_said_in_a_few_words() -> None:
    given: list[dict[str, Any]] = [
        {"function": "resize"}, {"kind": "run", "image": "busybox"},
        {"kind": "exec", "container": "web", "command": ["x"]},
        {"kind": "service-run", "service": "report"},
        {"kind": "local", "command": ["echo", "two words"]},
    ]  # fmt: skip
    assert [what_of(Definition(name="n", schedule="@daily", **each)) for each in given] == [
        "function resize", "run busybox", "exec web", "service-run report",
        "local echo 'two words'"]  # fmt: skip


async def test_secrets_of_a_definition_are_not_on_its_page(made: Made) -> None:
    await made.on.add(
        "telling", "@daily", env={"TOKEN": "s3cret"}, webhook="https://hooks.example/s3cret",
        smtp_host="mail.example", email_to=["a@b.example"], email_from="c@d.example",
        smtp_password="s3cret", timeout="10s", catch_up="1h",
    )  # fmt: skip
    text = await made.get("/ui/schedules/telling")
    assert "s3cret" not in text
    assert "hooks.example" in text
    assert "TOKEN" in text
    assert "10s" in text


async def test_older_runs_are_on_pages_of_their_own(made: Made) -> None:
    await made.on.add("often", "0 * * * *")
    await made.on.pass_time(25 * HOUR)
    text = await made.get("/ui/schedules/often")
    (more,) = re.findall(r'rel="next" href="(\?before=\d+)"', text)
    older = await made.get(f"/ui/schedules/often{more}")
    assert len(re.findall("<tr data-key", older)) == 5
    assert "data-refresh" not in older
    assert "Latest" in older


async def test_a_file_with_a_mistake_is_told_on_the_page(made: Made, tmp_path: Path) -> None:
    (tmp_path / "broken.ini").write_text('[job-run "x"]\nschedule = 99 * * * *\nimage = a\n')
    await made.sources.apply()
    text = await made.get("/ui/schedules")
    assert "broken.ini" in text
    assert "is nothing that the field" in text


async def test_a_schedule_that_goes_while_a_page_is_made_is_left_out(made: Made) -> None:
    await made.on.add("going", "@daily")
    pages = made.board.dashboard.schedules
    assert pages is not None
    await made.on.scheduler.remove("going")
    with pytest.raises(NotFound):
        pages.get("going")
    assert await pages.tallies(["going"], since=0.0, step=1.0) == []
