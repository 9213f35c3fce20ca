"""Lines of stderr: kept in a ring, followed as they come, and never in anybody's way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from tests.support.queueing import deployed_function, queueing

from wherry.calls import FunctionLogs, LogLine
from wherry.calls.following import Follower
from wherry.calls.logline import LONGEST, Lines
from wherry.functions.model import DEFAULT_NAMESPACE as NS
from wherry.models import Output
from wherry.service.call import Call

if TYPE_CHECKING:
    import pytest


def call(id: str = "c1", name: str = "fn") -> Call:  # noqa: A002
    deployed = deployed_function(name, "busybox")
    return Call(id=id, deployed=deployed, trigger="http", began=0.0)


def say(logs: FunctionLogs, of: Call, text: str) -> None:
    logs.wrote(of, Output("stderr", text.encode()))


async def texts(logs: FunctionLogs, name: str = "fn", **query: object) -> list[str]:
    return [line.text async for line in logs.query(name, NS, **query)]  # type: ignore[arg-type]


async def test_lines_of_stderr_are_kept_with_their_call_and_time(tmp_path: Path) -> None:
    logs = FunctionLogs(tmp_path, clock=lambda: 12.5)
    one = call()
    logs.began(one)
    say(logs, one, "first\nsec")
    logs.wrote(one, Output("stdout", b"not a line of the log\n"))
    say(logs, one, "ond\r\nlast")
    logs.ended(one)
    lines = [line async for line in logs.query("fn", NS)]
    assert lines == [LogLine("fn", NS, "c1", 12.5, text) for text in ("first", "second", "last")]
    assert await texts(logs, "other") == []
    await logs.aclose()


async def test_lines_are_there_after_a_restart_and_after_a_line_that_was_torn(
    tmp_path: Path,
) -> None:
    logs = FunctionLogs(tmp_path)
    say(logs, call(), "one\n")
    await logs.aclose()
    (file,) = (tmp_path / "logs").iterdir()
    with file.open("ab") as torn:
        torn.write(b'[1.0,"c1","half')
    logs = FunctionLogs(tmp_path)
    say(logs, call(), "two\n")
    assert await texts(logs) == ["one", "two"]
    await logs.aclose()


async def test_queries_are_by_call_by_time_and_by_number(tmp_path: Path) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    logs = FunctionLogs(tmp_path, clock=clock)
    for number in range(6):
        say(logs, call(f"c{number % 2}"), f"{number}\n")
    assert await texts(logs, tail=2) == ["4", "5"]
    assert await texts(logs, tail=0) == await texts(logs, tail=-1) == list("012345")
    assert await texts(logs, since=5.0) == ["4", "5"]
    assert await texts(logs, instance="c0", tail=2) == ["2", "4"]
    await logs.aclose()


async def test_the_oldest_lines_are_given_up_by_size(tmp_path: Path) -> None:
    logs = FunctionLogs(tmp_path, size=2000, files=3)
    for number in range(300):
        say(logs, call(), f"line {number}\n")
        if number % 10 == 0:
            await logs.flush()
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 2000
    kept = await texts(logs)
    assert kept == [f"line {number}" for number in range(300 - len(kept), 300)]
    assert len(kept) > 50
    await logs.forget("fn", NS)
    assert list((tmp_path / "logs").iterdir()) == []
    await logs.aclose()


async def test_who_follows_gets_every_line_once(tmp_path: Path) -> None:
    logs = FunctionLogs(tmp_path)
    got: list[str] = []

    async def follow() -> None:
        async for line in logs.query("fn", NS, follow=True):
            got.append(line.text)  # noqa: PERF401 - each as it comes

    for number in range(100):
        say(logs, call(), f"{number}\n")
    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(1)]
        for number in range(100, 600):
            say(logs, call(), f"{number}\n")
            say(logs, call(name="other"), "not this\n")
            if number % 7 == 0:
                await asyncio.sleep(0)
            if number % 50 == 0:
                await logs.flush()
        while len(got) < 600:
            await asyncio.sleep(0.001)
        await logs.aclose()
    assert all(follower.done() for follower in followers)
    assert got == [str(number) for number in range(600)]


async def test_a_follower_that_leaves_is_forgotten(tmp_path: Path) -> None:
    logs = FunctionLogs(tmp_path)
    say(logs, call(), "one\n")
    async with aclosing(logs.query("fn", NS, follow=True)) as lines:
        assert (await anext(lines)).text == "one"
        assert len(logs._followers) == 1
    assert logs._followers == set()
    await logs.aclose()


async def test_a_slow_follower_loses_lines_and_is_told_how_many() -> None:
    follower = Follower(lambda line: True, behind=3)
    for number in range(10):
        follower.tell(LogLine("fn", NS, "c", 0.0, str(number)))
    got = []
    for _ in range(4):
        line = await follower.next()
        assert line is not None
        got.append(line.text)
    assert "7 lines" in got[0]
    assert got[1:] == ["7", "8", "9"]
    follower.end()
    assert await follower.next() is None


async def test_a_call_that_outlives_its_function_leaves_no_log(tmp_path: Path) -> None:
    logs = FunctionLogs(tmp_path)
    last, other = call(), call("c2", "other")
    for each in (last, other):
        logs.began(each)
        say(logs, each, "before\nhalf")
    await logs.forget("fn", NS)
    for each in (last, other):
        say(logs, each, " a line\nand more")
        logs.ended(each)
    assert await texts(logs) == []
    assert await texts(logs, "other") == ["before", "half a line", "and more"]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [f"other.{NS}.log"]
    await logs.aclose()


async def test_a_disk_that_takes_no_lines_stops_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("not a directory")
    logs = FunctionLogs(tmp_path)
    say(logs, call(), "one\n")
    while not caplog.records:
        await asyncio.sleep(0.005)
    assert "cannot be written" in caplog.text
    await logs.aclose()


async def test_long_lines_that_come_faster_than_the_disk_are_bounded_and_missed(
    tmp_path: Path,
) -> None:
    logs = FunctionLogs(tmp_path)
    loud, quiet = call(), call("c2", "quiet")
    for _ in range(1000):  # nothing is written before this test lets the loop turn
        say(logs, loud, "x" * LONGEST + "\n")
    await logs.flush()
    say(logs, quiet, "not to blame\n")
    say(logs, loud, "on\n")
    *kept, missing, last = await texts(logs)
    assert len(kept) == 256  # 4 MiB
    assert "744 lines" in missing
    assert last == "on"
    assert await texts(logs, "quiet") == ["not to blame"]
    await logs.aclose()


async def test_what_calls_of_the_queue_write_is_logged_with_their_id(tmp_path: Path) -> None:
    logs = FunctionLogs(tmp_path)
    async with queueing(tmp_path, observers=(logs,)) as on:
        on.declared.add("loud", "busybox", command=("sh", "-c", "echo aloud >&2"))
        queued = await on.put("loud")
        await on.until(queued.id)
        assert await texts(logs, "loud", instance=queued.id) == ["aloud"]
    await logs.aclose()


@given(st.lists(st.text(alphabet="ab\n\rä€", max_size=30).map(str.encode), max_size=8))
def test_lines_are_the_same_however_they_are_cut(chunks: list[bytes]) -> None:
    whole, cut = Lines(), Lines()
    text = b"".join(chunks)
    expected = [*whole.feed(text), whole.rest()]
    got = [line for byte in text for line in cut.feed(bytes([byte]))]
    assert [*got, cut.rest()] == expected
    assert "\n".join(expected).replace("\r", "") == text.decode().replace("\r", "")


def test_a_line_without_end_is_cut_between_characters() -> None:
    lines = Lines()
    text = "€" * LONGEST
    got = lines.feed(text.encode())
    assert all(len(line.encode()) <= LONGEST for line in got)
    assert "".join([*got, lines.rest()]) == text
