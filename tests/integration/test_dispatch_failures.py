"""What dispatch does when something goes wrong: crashes, lost connections, long jobs, stops."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pamqp import encode
from tests.support.dispatching import (
    Gate,
    Producer,
    crash,
    dispatching,
    run,
)

from wherry.client import AsyncClient
from wherry.testing import MemoryEngine
from wherry.triggers.amqp import session as wire
from wherry.triggers.amqp.dispatcher import Dispatcher
from wherry.triggers.amqp.options import DispatchOptions
from wherry.triggers.amqp.performing import Performer
from wherry.triggers.amqp.record import Record

if TYPE_CHECKING:
    import pytest
    from tests.support.rabbitmq import Rabbit

    from wherry.triggers.amqp.delivery import Delivery


async def test_a_crash_loses_no_message(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine) as running:
        await producer.send(run(image="gate"))
        await gate.until(1)
        await crash(running)
    gate.open.set()
    async with dispatching(rabbit, queue, state=tmp_path, engine=MemoryEngine({"gate": gate})):
        assert (await producer.result())["stdout"] == "done"
    assert (gate.started, await producer.left()) == (2, 0)


async def test_a_message_that_comes_twice_is_answered_from_the_record(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine):
        await producer.send(run(image="gate"), message_id="once")
        await producer.send(run(image="gate"), message_id="once")  # while it runs
        await gate.until(1)
        gate.open.set()
        first, second = await producer.result(), await producer.result()
        assert sorted([first["duplicate"], second["duplicate"]]) == [False, True]
    async with dispatching(rabbit, queue, state=tmp_path, engine=MemoryEngine()):  # and later
        third = await producer.ask(run(image="gate"), message_id="once")
        assert (third["duplicate"], third["stdout"]) == (True, "done")
    assert gate.started == 1


async def test_a_lost_connection_is_made_anew_and_what_runs_goes_on(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine) as running:
        await producer.send(run(image="gate"))
        await producer.send(run(image="gate"), message_id="with an id")
        await gate.until(2)
        session = running.dispatcher._session
        assert session is not None
        running.line.cut()
        await session.lost.wait()
        await running.dispatcher.connected.wait()
        assert (await producer.ask(run("echo", "new")))["stdout"] == "new\n"
        gate.open.set()
        assert [(await producer.result())["stdout"] for _ in range(2)] == ["done", "done"]
    assert gate.started == 2  # the same containers, although the messages came twice
    assert await producer.left() == await producer.left(".replies") == 0


async def test_a_program_may_run_longer_than_the_brokers_patience(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    await asyncio.to_thread(
        rabbit.control, "eval", "application:set_env(rabbit, consumer_timeout, 1500)."
    )
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    try:
        async with dispatching(
            rabbit, queue, state=tmp_path, engine=engine, ack_timeout=1.0
        ) as running:
            await producer.send(run(image="gate"))
            await gate.until(1)
            session = running.dispatcher._session
            await asyncio.sleep(3)  # the broker looks every 0.3 s
            assert running.dispatcher._session is session
            assert session is not None
            assert not session.is_lost
            gate.open.set()
            assert (await producer.result())["stdout"] == "done"
        assert (gate.started, await producer.left()) == (1, 0)
    finally:
        await asyncio.to_thread(
            rabbit.control, "eval", "application:set_env(rabbit, consumer_timeout, 1800000)."
        )


async def test_a_next_try_that_comes_before_the_last_ones_acknowledgement_is_not_lost(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, ack, deliveries = Dispatcher._arrived, wire.Session.ack, []
    two, three = asyncio.Event(), asyncio.Event()

    def arriving(self: Dispatcher, delivery: Delivery) -> None:
        arrived(self, delivery)
        deliveries.append(delivery)
        for event, count in ((two, 2), (three, 3)):
            if len(deliveries) == count:
                event.set()

    async def acknowledging(self: wire.Session, delivery: Delivery) -> None:
        if delivery in deliveries[:2]:
            await (two if delivery is deliveries[0] else three).wait()
        await ack(self, delivery)

    monkeypatch.setattr(Dispatcher, "_arrived", arriving)
    monkeypatch.setattr(wire.Session, "ack", acknowledging)
    async with dispatching(rabbit, queue, state=tmp_path):
        result = await producer.ask(run("sh", "-c", "exit 75"), message_id="again")
        assert (result["attempt"], result["exit_code"]) == (3, 75)
        assert (await producer.dead()).message_id == "again"
    assert await producer.left() == 0


async def test_what_is_held_for_its_length_survives_a_crash(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    from wherry.triggers.amqp.record import Held, Record

    crashed = await Record.open(tmp_path)
    properties = {"message_id": None, "correlation_id": "c", "reply_to": f"{queue}.replies",
                  "content_type": None, "attempts": 0}  # fmt: skip
    body = json.dumps(run("echo", "held")).encode()
    await crashed.hold(Held(key="k", queue=queue, body=body, properties=properties))
    await crashed.aclose()  # without a release
    async with dispatching(rabbit, queue, state=tmp_path):
        result = await producer.result()
        assert (result["stdout"], result["attempt"]) == ("held\n", 2)
    record = await Record.open(tmp_path)
    assert await record.orphans(queue) == []
    await record.aclose()


async def test_a_stop_lets_what_runs_end_and_leaves_the_rest_on_the_queue(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine, concurrency=1) as running:
        for _ in range(3):
            await producer.send(run(image="gate"))
        await gate.until(1)
        running.stop.set()
        while not running.dispatcher._stopping:
            await asyncio.sleep(0.001)
        gate.open.set()
    assert gate.started == 1
    assert (await producer.left(), await producer.left(".replies")) == (2, 1)


async def test_the_end_of_the_grace_hands_back_what_runs(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine, grace=600) as running:
        await producer.send(run(image="gate"))
        await gate.until(1)
        running.stop.set()
        running.at_once.set()
    assert (await producer.left(), gate.running) == (1, 0)


async def test_a_stop_does_not_wait_for_a_broker_that_has_frozen(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_PATIENCE", 3600.0)
    monkeypatch.setattr(wire, "_PARTING", 0.05)
    gate = Gate()
    engine = MemoryEngine({"gate": gate})
    async with dispatching(rabbit, queue, state=tmp_path, engine=engine, grace=0.05) as running:
        await producer.send(run("true"))
        await producer.result()
        await producer.send(run(image="gate"))
        await gate.until(1)
        running.line.freeze()
    assert gate.running == 0
    gate.open.set()
    async with dispatching(rabbit, queue, state=tmp_path, engine=MemoryEngine({"gate": gate})):
        while (await producer.result())["stdout"] != "done":
            pass  # the first one may not have been acknowledged yet


async def test_a_stop_does_not_wait_for_a_broker_that_freezes_while_queues_are_declared(
    rabbit: Rabbit, tmp_path: Path, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_PATIENCE", 3600.0)
    monkeypatch.setattr(wire, "_PARTING", 0.05)
    declares = asyncio.Event()

    async def declare(*_: object) -> None:
        declares.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(wire, "_declare", declare)
    stop = asyncio.Event()
    record = await Record.open(tmp_path)
    async with AsyncClient(MemoryEngine()) as client, asyncio.timeout(60):
        asked = DispatchOptions(url=rabbit.url, queue=queue, state=tmp_path)
        dispatcher = Dispatcher(asked, Performer(client=client), record=record, say=print)
        running = asyncio.create_task(dispatcher.run(stop, at_once=stop))
        await declares.wait()
        stop.set()
        await running
    await record.aclose()


async def test_a_message_that_never_comes_to_an_outcome_is_a_dead_letter_in_the_end(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    gate = Gate()
    await producer.channel.declare_queue(queue, durable=True)
    await producer.send(run(image="gate"), message_id="killer")
    for number in range(1, 5):  # as a message does that kills its dispatcher
        async with dispatching(
            rabbit, queue, state=tmp_path, engine=MemoryEngine({"gate": gate}), most_deliveries=2
        ) as running:
            if number < 4:
                await gate.until(number)
                await crash(running)
            else:
                assert "without an outcome" in (await producer.result())["error"]
    assert (gate.started, await producer.left(), await producer.left(".dead")) == (3, 0, 1)


async def test_a_result_that_nobody_reads_any_more_is_still_an_outcome(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    def say(*_: object) -> None:
        raise BrokenPipeError

    async with dispatching(rabbit, queue, state=tmp_path, say=say):
        assert (await producer.ask(run("echo", "hi")))["stdout"] == "hi\n"
    assert await producer.left() == await producer.left(".replies") == 0


async def test_properties_that_cannot_be_read_end_no_connection(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await producer.channel.declare_queue(queue, durable=True)
    with monkeypatch.context() as patch:
        patch.setitem(encode.METHODS, "timestamp", lambda _: b"\xff" * 8)
        await producer.send(run("echo", "time"), timestamp=datetime.now(UTC))
    short = encode.METHODS["shortstr"]
    with monkeypatch.context() as patch:
        odd = b"\xff" + b"\xfe" * 255
        patch.setitem(encode.METHODS, "shortstr", lambda v: odd if v == "odd" else short(v))
        await producer.send(run("sh", "-c", "exit 75"), message_id="odd")
    with monkeypatch.context() as patch:
        table = b"\0\0\0\x04\x01\xfft\x01"
        patch.setitem(encode.METHODS, "table", lambda _: table)
        await producer.send(run("sh", "-c", "exit 1"), headers={"any": 1})
    async with dispatching(rabbit, queue, state=tmp_path):
        results = {r["id"]: r for r in [await producer.result() for _ in range(3)]}
    assert results["c1"]["stdout"] == "time\n"
    assert (results["c2"]["message_id"], results["c2"]["attempt"]) == ("?" * 255, 3)
    assert results["c3"]["exit_code"] == 1
    assert (await producer.left(), await producer.left(".dead")) == (0, 2)
