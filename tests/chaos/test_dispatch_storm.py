"""Dispatchers are killed with -9 and the broker crashes, while messages become sandboxes.

No message is lost, each has one final outcome, and nothing is left of the sandboxes.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aio_pika
import pytest
from tests.chaos.ground import TOKEN, Remains, engine, shell
from tests.chaos.ground import run as call
from tests.support.dispatching import dispatcher_process, end, run
from tests.support.local_harness import data_directory
from tests.support.rabbitmq import a_rabbit

from wherry.triggers.amqp.record import Record

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage
    from tests.support.rabbitmq import Rabbit

pytestmark = pytest.mark.timeout(300)
MESSAGES = 2000
FAILING = 20
"""One message in so many fails."""
KILLS = 6
CRASHES = (1, 4)
"""Which of the kills are the broker's."""
AT_ONCE = 8
QUEUE = "storm"
PATIENCE = 60.0


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
    end = "exit 1" if number % FAILING == 0 else f"echo {number}"
    return aio_pika.Message(
        json.dumps(run("sh", "-c", end, TOKEN)).encode(),
        message_id=f"m{number}",
        correlation_id=f"m{number}",
        reply_to=f"{queue}.replies",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


class Dispatchers:
    """One dispatcher after the other, on the same data and on the engine of this machine."""

    def __init__(self, rabbit: Rabbit, queue: str, *, data: Path, said: Path) -> None:
        self.pids: set[int] = set()
        self._rabbit = rabbit
        self._queue = queue
        self._data = data
        self._said = said
        self._process = self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def replace(self) -> None:
        self.kill()
        self._process = self._start()

    def end(self) -> None:
        code, _, _ = end(self._process)
        assert code == 0, self._said.read_text()[-2000:]

    def _start(self) -> subprocess.Popen[bytes]:
        with self._said.open("ab") as said:  # a pipe that nobody reads would stop it
            started = dispatcher_process(
                self._rabbit, self._queue, "-P", str(AT_ONCE), "--json",
                engine=f"local:{self._data}", data=self._data, said=said,
            )  # fmt: skip
        self.pids.add(started.pid)
        return started


async def test_every_message_has_one_outcome_through_kills_and_crashes_of_the_broker(
    tmp_path: Path,
) -> None:
    with a_rabbit() as rabbit, data_directory() as data:
        await first_call(data)
        remains = Remains(data.parent)
        await publish(rabbit, QUEUE)
        collector = Collector(rabbit, QUEUE)
        collecting = asyncio.create_task(collector.run())
        dispatchers = Dispatchers(rabbit, QUEUE, data=data, said=tmp_path / "said")
        try:
            await rage(collector, dispatchers, rabbit=rabbit)
            await collector.until(MESSAGES, MESSAGES // FAILING)
            await asyncio.to_thread(dispatchers.end)
            await left_empty(rabbit, QUEUE)
        finally:
            collecting.cancel()
            dispatchers.kill()
        check(collector)
        place = f"127.0.0.1:{rabbit.port}// {QUEUE}"
        await check_record(data / "dispatch", collector, place=place)
        remains.callers |= dispatchers.pids
        on = engine(data.parent)  # the next start, which finds nothing to do
        record = (f"file {data}/dispatch", f"file {data}/dispatch/messages.db")
        left = [each for each in remains.find(on) if each not in record]
        await on.aclose()
        assert left == []


async def first_call(data: Path) -> None:
    """Make what is there to stay: the image, and what the first sandbox of all needs."""
    on = await asyncio.to_thread(engine, data.parent)
    await call(on, shell("true"))
    await on.aclose()


async def rage(collector: Collector, dispatchers: Dispatchers, *, rabbit: Rabbit) -> None:
    chance = random.Random(7)
    for number in range(KILLS):
        await collector.until((number + 1) * MESSAGES // (KILLS + 4), 0)
        await asyncio.sleep(chance.uniform(0, 0.2))
        if number in CRASHES:
            await asyncio.to_thread(rabbit.kill)
            await asyncio.to_thread(rabbit.start)
        else:
            await asyncio.to_thread(dispatchers.replace)


def check(collector: Collector) -> None:
    """Each message has its result, the failing ones are dead letters, few came twice."""
    assert len(collector.results) == MESSAGES
    failing = {f"m{number}" for number in range(0, MESSAGES, FAILING)}
    assert {key for key, ok in collector.first.items() if not ok} == failing
    assert set(collector.dead) == failing
    assert collector.results.total() - MESSAGES <= KILLS * AT_ONCE  # what was under way
    assert collector.dead.total() - len(failing) <= KILLS * AT_ONCE


async def check_record(directory: Path, collector: Collector, *, place: str) -> None:
    record = await Record.open(directory)
    assert await record.duplicates(place) >= collector.duplicates
    assert await record.orphans(place) == []
    assert await record.forsaken({place}) == {}
    await record.aclose()


async def left_empty(rabbit: Rabbit, queue: str) -> None:
    connection = await aio_pika.connect(rabbit.url)
    async with connection:
        channel = await connection.channel()
        found = await channel.declare_queue(queue, passive=True)
        assert found.declaration_result.message_count == 0
