"""Dispatch on a real RabbitMQ node: each defect of docker-dispatch, and what it lacked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.dispatching import (
    Gate,
    Producer,
    dispatching,
    run,
    take,
)
from tests.support.functions import Registry, deployed
from tests.support.local_calls import data_with_busybox
from tests.unit.test_dispatch_messages import POISON

from wherry.client import AsyncClient
from wherry.engines import connect
from wherry.errors import UsageError
from wherry.service.service import FunctionService
from wherry.testing import Call, MemoryEngine
from wherry.triggers.amqp.outcome import exit_codes

if TYPE_CHECKING:
    from tests.support.rabbitmq import Rabbit


async def test_no_more_messages_run_at_one_time_than_are_wanted(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine, concurrency=3):
        for _ in range(9):
            await producer.send(run(image="gate"))
        await gate.until(3)
        assert await producer.left() == 6  # the broker still has them, for others
        gate.open.set()
        for _ in range(9):
            assert (await producer.result())["ok"]
    assert gate.most == 3


async def test_a_result_goes_to_who_asked(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path) as running:
        result = await producer.ask(run("sh", "-c", "echo out; echo err >&2"), correlation_id="me")
        assert (result["stdout"], result["stderr"], result["exit_code"]) == ("out\n", "err\n", 0)
    assert [(said.stdout, said.stderr) for said, _ in running.said] == [(b"out\n", b"err\n")]


@pytest.mark.parametrize("missing", ["", "nobody.there", "amq.rabbitmq.reply-to.g1h2AA.none"])
async def test_a_reply_that_nobody_waits_for_holds_nothing_up(
    missing: str, rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path):
        await producer.send(run("true"), reply_to=missing or None)
        assert (await producer.ask(run("echo", "next")))["stdout"] == "next\n"
    assert await producer.left() == 0


async def test_malformed_messages_of_thirty_kinds_end_as_dead_letters_with_a_reason(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    assert len(POISON) >= 30
    async with dispatching(rabbit, queue, state=tmp_path, concurrency=2):
        for name, (body, _) in POISON.items():
            await producer.send(body, correlation_id=name)
            await producer.send(run("echo", name), correlation_id=f"good {name}")
        results = {r["id"]: r for r in [await producer.result() for _ in range(2 * len(POISON))]}
        for name, (_, said) in POISON.items():
            assert said in results[name]["error"]
            assert results[f"good {name}"]["stdout"] == f"{name}\n"
        dead = [await producer.dead() for _ in POISON]
        assert {each.correlation_id for each in dead} == set(POISON)
        assert {each.body for each in dead} == {body for body, _ in POISON.values()}
        for each in dead:
            assert POISON[str(each.correlation_id)][1] in str(each.headers["x-wherry-reason"])
    assert await producer.left() == await producer.left(".dead") == 0


async def test_odd_properties_poison_nothing(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    large: dict[str, Any] = {f"h{n}": "x" * 1000 for n in range(90)}
    odd: list[dict[str, Any]] = [
        {"headers": large},
        {"headers": {"x-wherry-attempts": "many"}},
        {"headers": {"x-wherry-attempts": -5, "x-delivery-count": "no"}},
        {"headers": {"x-wherry-attempts": 2**40}},
        {"headers": {"a": {"b": [1, {"c": bytearray(b"\xff")}]}}},
        {"user_id": "guest"},
        {"expiration": 3600},
        {"priority": 9, "content_encoding": "gzip", "content_type": "x/y", "type": "t"},
        {"message_id": "x" * 255},
        {"message_id": "'; DROP TABLE outcomes; --"},
    ]
    async with dispatching(rabbit, queue, state=tmp_path):
        for properties in odd:
            result = await producer.ask(b"{", **properties)
            assert "no JSON" in result["error"]
            assert (await producer.dead()).body == b"{"
            tried = await producer.ask(
                run("sh", "-c", "exit 75"), **{**properties, "message_id": None}
            )
            assert not tried["ok"]
            await producer.dead()
    assert await producer.left() == 0


async def test_a_field_left_out_has_nothing_of_the_message_before(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path, concurrency=1):
        assert (await producer.ask(run("echo", "mine", Env={"A": "b"})))["stdout"] == "mine\n"
        bare = {"Dockercmd": "run", "Image": "busybox", "Options": {"Attach": ["STDOUT"]}}
        assert "mine" not in (await producer.ask(bare))["stdout"]


async def test_many_messages_at_one_time_keep_their_own_commands(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path, concurrency=16):
        for number in range(60):
            await producer.send(run("echo", str(number)), correlation_id=str(number))
        results = [await producer.result() for _ in range(60)]
    assert {r["id"]: r["stdout"] for r in results} == {str(n): f"{n}\n" for n in range(60)}


async def test_stdin_is_fed_where_it_is_attached(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path):
        fed = run("cat", Input="hello", Attach=["STDIN", "STDOUT"])
        assert (await producer.ask(fed))["stdout"] == "hello"
        assert (await producer.ask(run("cat", Input="hello")))["stdout"] == ""


async def test_without_streams_the_result_is_the_container(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path) as running:
        result = await producer.ask(run("echo", "hi", Attach=[]))
        assert (result["stdout"], result["ok"]) == ("", True)
        assert result["container"]
    assert not running.said[0][0].streams


async def test_the_exit_code_decides_what_becomes_of_a_message(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    codes = exit_codes(["3=ack", "4=requeue"], other=None)
    async with dispatching(rabbit, queue, state=tmp_path, performer={"codes": codes}):
        assert (await producer.ask(run("sh", "-c", "exit 3")))["ok"]
        rejected = await producer.ask(run("false"))
        assert (rejected["ok"], rejected["attempt"], rejected["exit_code"]) == (False, 1, 1)
        assert (await producer.dead()).headers["x-wherry-exit-code"] == 1
        again = await producer.ask(run("sh", "-c", "exit 4"))
        assert (again["ok"], again["attempt"]) == (False, 3)
        assert "tried 3 times" in str((await producer.dead()).headers["x-wherry-reason"])


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_a_try_that_fails_for_now_is_made_again_after_a_pause(
    queue_type: str, rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    tries = 0

    async def program(call: Call) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            return 75
        await call.stdout.write(b"at last")
        return 0

    engine = MemoryEngine({"flaky": program})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine, queue_type=queue_type):
        result = await producer.ask(run(image="flaky"), message_id="m")
        assert (result["stdout"], result["attempt"]) == ("at last", 3)
    assert await producer.left() == await producer.left(".dead") == 0


async def test_a_function_is_called_by_its_name(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    engine = MemoryEngine()
    registry: Any = Registry(deployed("upper", "tr", "a-z", "A-Z"), deployed("web", mode="http"))
    async with AsyncClient(engine) as client:
        service = FunctionService(client, registry)
        async with dispatching(
            rabbit, queue, state=tmp_path, engine=engine, performer={"service": service}
        ):
            assert (await producer.ask({"Function": "upper", "Input": "hi"}))["stdout"] == "HI"
            assert (await producer.ask({"function": "upper", "input": [1]}))["stdout"] == "[1]"
            assert "no function" in (await producer.ask({"Function": "lower"}))["error"]
            assert "speaks http" in (await producer.ask({"Function": "web"}))["error"]
        await service.aclose()


async def test_what_only_docker_can_is_said_on_other_engines(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path):
        for message in (
            {"Dockercmd": "stop", "Container": "a"},
            {"Dockercmd": "remove", "Container": "a"},
            run("true", Name="named"),
        ):
            assert "only a Docker engine" in (await producer.ask(message))["error"]


async def test_a_queue_that_is_there_and_different_is_named(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    await producer.channel.declare_queue(queue, durable=False)
    with pytest.raises(UsageError, match="--passive"):
        async with dispatching(rabbit, queue, state=tmp_path):
            pass
    async with dispatching(rabbit, queue, state=tmp_path, passive=True):
        assert (await producer.ask(run("echo", "hi")))["ok"]


async def test_a_queue_that_is_for_another_alone_is_named_and_tried_again(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async def hear(_: object) -> None:
        return

    declared = await producer.channel.declare_queue(queue, durable=True)
    tag = await declared.consume(hear, exclusive=True)
    with pytest.raises(UsageError, match=r"we may not take from it: .*exclusive"):
        async with dispatching(rabbit, queue, state=tmp_path):
            pass
    await declared.cancel(tag)
    with pytest.raises(UsageError, match="does not let us have it: ACCESS_REFUSED"):
        async with dispatching(rabbit, "amq.reserved", state=tmp_path):
            pass
    async with dispatching(rabbit, queue, state=tmp_path):
        assert (await producer.ask(run("echo", "hi")))["ok"]


async def test_a_queue_that_has_to_be_there_is_not_made(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not there"):
        async with dispatching(rabbit, queue, state=tmp_path, passive=True):
            pass


async def test_a_password_that_is_wrong_is_said_at_once_and_not_shown(
    rabbit: Rabbit, queue: str, tmp_path: Path
) -> None:
    url = rabbit.url.replace("guest:guest", "guest:swordfish")
    with pytest.raises(UsageError, match="refuses") as caught:
        async with dispatching(rabbit, queue, state=tmp_path, url=url):
            pass
    assert "swordfish" not in str(caught.value)


async def test_deleted_queues_are_made_again_before_anything_is_lost(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    async with dispatching(rabbit, queue, state=tmp_path):
        await producer.channel.queue_delete(f"{queue}.dead")
        await producer.send(b"{", message_id="m")
        dead = await take(await producer.channel.declare_queue(f"{queue}.dead", durable=True))
        assert dead.body == b"{"


async def test_messages_become_sandboxes_of_this_machine(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    with data_with_busybox() as data:
        engine = connect(f"local:{data}")
        async with dispatching(rabbit, queue, state=tmp_path, engine=engine):
            for number in range(8):
                await producer.send(run("sh", "-c", f"echo {number}; exit {number % 2}"))
            results = [await producer.result() for _ in range(8)]
    assert sorted(r["stdout"] for r in results) == [f"{number}\n" for number in range(8)]
    assert sum(r["ok"] for r in results) == 4
