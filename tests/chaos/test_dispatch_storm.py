"""Dispatchers are killed with -9 and the broker crashes, while messages come: none is lost."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aio_pika
from tests.support.dispatching import dispatcher_process, end, run
from tests.support.rabbitmq import a_rabbit

from wherry.triggers.amqp.record import Record

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage
    from tests.support.rabbitmq import Rabbit

MESSAGES = 2000
FAILING = 20
"""One message in so many fails."""
KILLS = 6
PATIENCE = 20.0


class Collector:
    """Reads replies and dead letters, through crashes of the broker."""

    def __init__(self, rabbit: Rabbit, queue: str) -> None:
        self.rabbit = rabbit
        self.queue = queue
        self.results: Counter[str] = Counter()
        self.first: dict[str, bool] = {}
        self.duplicates = 0
        self.dead: Counter[str] = Counter()
        self.change = asyncio.Event()

    async def run(self) -> None:
        while True:
            with suppress(*aio_pika.exceptions.CONNECTION_EXCEPTIONS):
                connection = await aio_pika.connect(self.rabbit.url, timeout=5)
                async with connection:
                    await self._read(connection)
            await asyncio.sleep(0.2)

    async def _read(self, connection: aio_pika.abc.AbstractConnection) -> None:
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=200)
        for suffix, hear in ((".replies", self._reply), (".dead", self._dead)):
            queue = await channel.declare_queue(f"{self.queue}{suffix}", durable=True)
            await queue.consume(hear)
        await lost.wait()

    async def _reply(self, message: AbstractIncomingMessage) -> None:
        identity = str(message.correlation_id)
        result = json.loads(message.body)
        assert self.first.setdefault(identity, result["ok"]) == result["ok"]
        self.results[identity] += 1
        self.duplicates += bool(message.headers.get("x-wherry-duplicate"))
        self.change.set()
        await message.ack()

    async def _dead(self, message: AbstractIncomingMessage) -> None:
        assert "exit status 1" in str(message.headers["x-wherry-reason"])
        self.dead[str(message.message_id)] += 1
        self.change.set()
        await message.ack()

    async def until(self, results: int, dead: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while len(self.results) < results or len(self.dead) < dead:
                    self.change.clear()
                    await self.change.wait()
        except TimeoutError:
            got = f"{len(self.results)} results and {len(self.dead)} dead letters"
            raise AssertionError(f"{got}, not {results} and {dead}") from None


async def publish(rabbit: Rabbit, queue: str) -> None:
    connection = await aio_pika.connect(rabbit.url)
    async with connection:
        channel = await connection.channel()
        for suffix in ("", ".replies", ".dead"):
            await channel.declare_queue(f"{queue}{suffix}", durable=True)
        await asyncio.gather(*(
            channel.default_exchange.publish(message(queue, number), routing_key=queue)
            for number in range(MESSAGES)
        ))  # fmt: skip


def message(queue: str, number: int) -> aio_pika.Message:
    words = ("false",) if number % FAILING == 0 else ("echo", str(number))
    return aio_pika.Message(
        json.dumps(run(*words)).encode(),
        message_id=f"m{number}",
        correlation_id=f"m{number}",
        reply_to=f"{queue}.replies",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def start(rabbit: Rabbit, queue: str, data: Path) -> subprocess.Popen[bytes]:
    with (data / "said").open("ab") as said:  # a pipe that nobody reads would stop it
        return dispatcher_process(rabbit, queue, "-P", "8", "--json", data=data, said=said)


async def test_every_message_has_one_outcome_through_kills_and_crashes_of_the_broker(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)
    with a_rabbit() as rabbit:
        queue = "storm"
        await publish(rabbit, queue)
        collector = Collector(rabbit, queue)
        collecting = asyncio.create_task(collector.run())
        process = start(rabbit, queue, tmp_path)
        try:
            for number in range(KILLS):
                await collector.until((number + 1) * MESSAGES // (KILLS + 4), 0)
                await asyncio.sleep(chance.uniform(0, 0.2))
                if number in (1, 4):
                    await asyncio.to_thread(rabbit.kill)
                    await asyncio.to_thread(rabbit.start)
                else:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    process = start(rabbit, queue, tmp_path)
            await collector.until(MESSAGES, MESSAGES // FAILING)
            code, _, _ = await asyncio.to_thread(end, process)
            assert code == 0, (tmp_path / "said").read_text()[-2000:]
            await left_empty(rabbit, queue)
        finally:
            collecting.cancel()
            process.kill()
            process.communicate()
    assert len(collector.results) == MESSAGES
    assert [key for key, ok in collector.first.items() if not ok] == list(
        dict.fromkeys(key for key, ok in collector.first.items() if int(key[1:]) % FAILING == 0)
    )
    again = collector.results.total() - MESSAGES
    buried = collector.dead.total() - MESSAGES // FAILING
    assert set(collector.dead) == {f"m{n}" for n in range(0, MESSAGES, FAILING)}
    assert again <= KILLS * 8  # at most what was under way at each kill
    assert buried <= KILLS * 8
    record = await Record.open(tmp_path / "dispatch")
    assert await record.duplicates(queue) >= collector.duplicates
    assert await record.orphans(queue) == []
    await record.aclose()


async def left_empty(rabbit: Rabbit, queue: str) -> None:
    connection = await aio_pika.connect(rabbit.url)
    async with connection:
        channel = await connection.channel()
        found = await channel.declare_queue(queue, passive=True)
        assert found.declaration_result.message_count == 0
