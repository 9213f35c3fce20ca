"""``[dispatch]`` in a real `wherry serve`: its functions and its engine, called by messages."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.dispatching import Line, run
from tests.support.serve_process import Served, serving
from tests.support.waiting import wait_until

from wherry.triggers.amqp.record import Held, Record

if TYPE_CHECKING:
    from tests.support.dispatching import Producer
    from tests.support.rabbitmq import Rabbit


def configured(directory: Path, url: str, queue: str, more: str = "") -> Path:
    """Write a server's file with one function and one queue."""
    path = directory / "wherry.toml"
    path.write_text(
        f"""
[functions.upper]
image = "busybox"
command = ["tr", "a-z", "A-Z"]

[dispatch.jobs]
url = "{url}"
queue = "{queue}"
{more}
"""
    )
    return path


def asked(served: Served, path: str) -> str:
    request = urllib.request.Request(served.url + path)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return str(answer.read().decode())


def state(served: Served) -> dict[str, Any]:
    (found,) = json.loads(asked(served, "/system/dispatch"))
    assert isinstance(found, dict)
    return found


def logged(served: Served, message: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in served.said if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


async def test_messages_call_the_servers_functions_and_run_images_on_its_engine(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    url = rabbit.url.replace("guest:guest@", "guest@")
    (tmp_path / "secret").write_text("guest\n")
    more = 'password_file = "secret"\npolicy = { images = ["busybox"] }'
    config = configured(tmp_path, url, queue, more)
    with serving(tmp_path / "data", "--no-auth", "--config", str(config)) as served:
        await asyncio.to_thread(wait_until, lambda: state(served)["connected"])
        upper = await producer.ask({"Function": "upper", "Input": "hi"})
        assert (upper["stdout"], upper["operation"]) == ("HI", "invoke")
        assert (await producer.ask(run("echo", "image")))["stdout"] == "image\n"
        other = await producer.ask(run("true", image="alpine"))
        assert other["error"] == "image 'alpine': the policy does not allow it"
        await asyncio.to_thread(wait_until, lambda: state(served)["running"] == 0)
        found = state(served)
        assert found | {"broker": ""} == {
            "name": "jobs", "queue": queue, "broker": "", "connected": True, "concurrency": 4,
            "running": 0, "acknowledged": 2, "rejected": 1, "retried": 0, "repeated": 0,
        }  # fmt: skip
        assert "guest" not in found["broker"]
        metrics = asked(served, "/metrics")
        assert 'wherry_dispatch_connected{dispatch="jobs"} 1.0' in metrics
        assert 'wherry_dispatch_messages_total{dispatch="jobs",outcome="acknowledged"}' in metrics
        calls = asked(served, "/system/calls")
        assert '"trigger":"message"' in calls.replace(" ", "")
    ended = logged(served, "a message has had its outcome")
    assert [(line["operation"], line["queue"]) for line in ended] == [
        ("invoke", queue), ("run", queue)
    ]  # fmt: skip
    (dead,) = logged(served, "a message is a dead letter")
    assert "policy" in dead["reason"]
    assert await producer.left() == 0


async def test_a_renamed_table_finds_what_was_held_and_what_nobody_dispatches_is_named(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    properties = {"message_id": None, "correlation_id": "c", "reply_to": f"{queue}.replies",
                  "content_type": None, "attempts": 0}  # fmt: skip
    crashed = await Record.open(tmp_path / "data" / "state" / "dispatch")
    place = f"127.0.0.1:{rabbit.port}//"
    for each in (f"{place} {queue}", f"{place} old"):
        body = json.dumps({"Function": "upper", "Input": each}).encode()
        await crashed.hold(Held(key=each, queue=each, body=body, properties=properties))
    await crashed.aclose()  # without a release
    config = configured(tmp_path, rabbit.url, queue)
    config.write_text(config.read_text().replace("[dispatch.jobs]", "[dispatch.renamed]"))
    with serving(tmp_path / "data", "--no-auth", "--config", str(config)) as served:
        assert (await producer.result())["stdout"] == f"{place} {queue}".upper()
        (said,) = logged(served, "messages are held for a queue that no table dispatches")
        assert (said["queue"], said["messages"]) == (f"{place} old", 1)


async def test_a_broker_that_is_away_stops_nothing_and_is_told_once(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    await producer.channel.declare_queue(queue, durable=True)
    line = Line(rabbit.port)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # nobody listens there yet
        port = listener.getsockname()[1]
        config = configured(tmp_path, f"amqp://guest:guest@127.0.0.1:{port}/", queue)
        with serving(tmp_path / "data", "--no-auth", "--config", str(config)) as served:
            assert not state(served)["connected"]
            await asyncio.to_thread(wait_until, lambda: "problem" in state(served))
            assert asked(served, "/healthz") == "OK\n"
            server = await asyncio.start_server(line.serve, sock=listener)
            assert (await producer.ask({"Function": "upper", "Input": "a"}))["stdout"] == "A"
            line.cut()  # and later
            assert (await producer.ask({"Function": "upper", "Input": "b"}))["stdout"] == "B"
            assert "problem" not in state(served)
            server.close()
            await line.aclose()
    told = logged(served, "no messages are heard; it is tried again")
    assert ["cannot be reached" in line["reason"] for line in told] == [True, False]
    assert "was lost" in told[1]["reason"]


async def test_a_broker_that_refuses_stops_nothing(
    rabbit: Rabbit, queue: str, tmp_path: Path
) -> None:
    url = rabbit.url.replace("guest:guest", "guest:swordfish")
    config = configured(tmp_path, url, queue)
    with serving(tmp_path / "data", "--no-auth", "--config", str(config)) as served:
        await asyncio.to_thread(wait_until, lambda: "problem" in state(served))
        assert state(served)["problem"] == (
            "dispatch.jobs.url: the broker refuses this user and password"
        )
        assert 'wherry_dispatch_connected{dispatch="jobs"} 0.0' in asked(served, "/metrics")
    assert "swordfish" not in "".join(served.said)


async def test_a_second_signal_ends_what_runs_and_hands_its_message_back(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    config = configured(tmp_path, rabbit.url, queue)
    options = ("--no-auth", "--config", str(config), "--grace", "10m")
    with serving(tmp_path / "data", *options) as served:
        await asyncio.to_thread(wait_until, lambda: state(served)["connected"])
        await producer.send(run("sleep", "600"))
        await asyncio.to_thread(wait_until, lambda: state(served)["running"] == 1)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: "stopping" in "".join(served.said))
    assert await producer.left() == 1


def test_a_mistake_in_the_table_is_said_before_anything_is_served(tmp_path: Path) -> None:
    config = configured(tmp_path, "amqp://mq/", "q", 'conurrency = "many"')
    with (
        pytest.raises(AssertionError, match=r"dispatch\.jobs: there is no 'conurrency'; did you"),
        serving(tmp_path / "data", "--no-auth", "--config", str(config)),
    ):
        pass
