"""One `wherry serve` does all that it can, and one SIGTERM stops all of it under load."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.chaos.ground import Remains, engine, shell
from tests.chaos.ground import run as call
from tests.support.funker_peers import raw_call
from tests.support.load import Load, loading
from tests.support.local_harness import data_directory
from tests.support.serve_process import Served, serving
from tests.support.served_calls import ask
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.dispatching import Producer
    from tests.support.rabbitmq import Rabbit

pytestmark = pytest.mark.timeout(150)
MESSAGES = 120
SLOW = 3
"""Messages whose program does not end within the grace of the first server."""
ENOUGH = 8


def configured(path: Path, rabbit: Rabbit, queue: str, *, port: int, slow: str) -> Path:
    path.write_text(
        f"""
[functions.upper]
image = "busybox"
command = ["sh", "-c", "sleep 0.1; exec tr a-z A-Z"]

[functions.slow]
image = "busybox"
command = ["sh", "-c", "{slow}"]

[dispatch.jobs]
url = "{rabbit.url}"
queue = "{queue}"
concurrency = {SLOW + 1}

[funker]
upper = "127.0.0.1:{port}"

[schedules.tick]
schedule = "* * * * * *"
kind = "function"
function = "upper"
overlap = "allow"
"""
    )
    return path


async def test_one_signal_ends_or_hands_back_every_accepted_call_of_every_trigger(
    rabbit: Rabbit,
    queue: str,
    producer: Producer,
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    await producer.channel.declare_queue(queue, durable=True)
    for number in range(MESSAGES):
        name = "slow" if number < SLOW else "upper"
        document = {"Function": name, "Input": f"m{number}"}
        await producer.send(document, message_id=f"m{number}", correlation_id=f"m{number}")
    with data_directory() as data:
        on = await asyncio.to_thread(engine, data.parent)
        await call(on, shell("true"))  # what the first call makes is there to stay
        remains = Remains(data.parent)
        config = tmp_path / "wherry.toml"
        configured(config, rabbit, queue, port=port, slow="exec sleep 600")
        first, answered = await asyncio.to_thread(stopped_under_load, data, config, port=port)
        remains.callers.add(first)
        configured(config, rabbit, queue, port=port, slow="exec cat")
        results = await all_results(producer, data, config, answered=answered, pids=remains.callers)
        # One outcome each, whichever server had it.
        assert results == Counter(f"m{number}" for number in range(MESSAGES))
        assert await producer.left() == await producer.left(".dead") == 0
        await on.settled()
        left = [each for each in remains.find(on) if f"file {data}/state" not in each]
        await on.aclose()
        assert left == []


def stopped_under_load(data: Path, config: Path, *, port: int) -> tuple[int, dict[str, int]]:
    """Stop a server while everybody calls; return its process, and how many had an answer."""
    with serving(data, "--no-auth", "--config", str(config), engine="local") as served:
        assert ask(served, "POST", "/async-function/slow", b"queued")[0] == 202
        http = loading(lambda: over_http(served), callers=3)
        funker = loading(lambda: raw_call(port, b'"hi"').decode(), callers=2)
        with http as over, funker as through:
            wait_until(lambda: busy(served, over, through), seconds=60)
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(60) == 0, "".join(served.said)
    # Who was accepted had the whole answer; who was not was refused.
    assert over.answers["200 HI"] >= ENOUGH
    assert set(over.answers) - {"200 HI"} <= NOT_ACCEPTED, over.answers
    assert through.answers['"HI"'] >= ENOUGH
    assert set(through.answers) - {'"HI"'} <= NOT_ACCEPTED, through.answers
    answered = {"http": over.answers["200 HI"], "funker": through.answers['"HI"']}
    return served.process.pid, answered


NOT_ACCEPTED = {"refused", repr(ConnectionResetError(104, "Connection reset by peer"))}
"""The second: it waited in the kernel's queue of a socket that was closed."""


def over_http(served: Served) -> str:
    status, body = ask(served, "POST", "/function/upper", b"hi")
    return f"{status} {body.decode()}"


def busy(served: Served, *loads: Load) -> bool:
    """Whether every trigger has had enough, and goes on."""
    (queue,) = answer(served, "/system/dispatch")
    runs = answer(served, "/system/schedules/tick/runs")
    dispatched: int = queue["acknowledged"]
    return (
        MESSAGES - ENOUGH > dispatched >= ENOUGH
        and queue["running"] >= SLOW
        and sum(run["status"] == "succeeded" for run in runs) >= 2
        and all(load.answers.total() >= ENOUGH for load in loads)
    )


async def all_results(
    producer: Producer,
    data: Path,
    config: Path,
    *,
    answered: dict[str, int],
    pids: set[int],
) -> Counter[str]:
    """Let a second server do what the first one handed back; return the results by message."""
    results: Counter[str] = Counter()
    serving_again = serving(data, "--no-auth", "--config", str(config), engine="local")
    with serving_again as served:
        pids.add(served.process.pid)
        while len(results) < MESSAGES:
            result = await producer.result()
            assert result["ok"], result
            assert result["stdout"] == expected(result["id"])
            results[result["id"]] += 1
        wait_until(lambda: answer(served, "/system/calls?state=running") == [])
        check_calls(answer(served, "/system/calls?limit=1000"), answered)
        schedule = answer(served, "/system/schedules/tick/runs")
        assert {run["status"] for run in schedule} <= {"succeeded", "running", "missed"}
    return results + Counter({"more": await producer.left(".replies")})


def check_calls(found: list[dict[str, Any]], answered: dict[str, int]) -> None:
    """Every call that was accepted has ended well, but for what was handed back in the middle."""
    calls = Counter((each["trigger"], each["name"], each["state"]) for each in found)
    ticks = calls.pop(("schedule", "upper", "done"))
    assert ticks >= 2
    assert calls == {
        ("http", "upper", "done"): answered["http"],
        ("funker", "upper", "done"): answered["funker"],
        ("async", "slow", "done"): 1,
        ("message", "upper", "done"): MESSAGES - SLOW,
        ("message", "slow", "failed"): SLOW,
        ("message", "slow", "done"): SLOW,
    }


def expected(identity: str) -> str:
    return identity if int(identity[1:]) < SLOW else identity.upper()


def answer(served: Served, path: str) -> Any:
    status, body = ask(served, "GET", path)
    assert status == 200, body
    return json.loads(body)
