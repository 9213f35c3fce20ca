"""Messages of a RabbitMQ queue: how many become containers in a second, and what that adds."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
from bench.broker import Asker, asking
from bench.calls import COMMAND, IMAGE, INPUT, OUTPUT, ready, timed
from bench.harness import MIB, Bound, Row, Sides
from bench.memory import peak_of, resident_of
from bench.place import WHERRY
from bench.served import running
from bench.timing import check

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage
    from bench.place import Place
    from tests.support.rabbitmq import Rabbit

AT_ONCE = 4
OURS, THEIRS = 400, 12
"""Messages of one turn."""
CALLS = 25
"""Of one turn, each way; in between, time to make the next container ready."""
REST = 0.05
MESSAGE = {"Function": "shout", "Input": INPUT}
WAITING, BEFORE, TAKEN = 100_000, 1000, 30_000
"""Messages that wait; those dispatched before memory is looked at, and those until the end."""
EMPTY = {"Dockercmd": "run", "Image": "busybox", "Cmd": ["true"], "Options": {"Remove": True}}
_numbers = itertools.count()


@asynccontextmanager
async def against_docker_run(place: Place) -> AsyncIterator[Sides]:
    broker, docker = await place.broker(), await place.docker()
    command = docker.run("--network", "none", IMAGE, *COMMAND)
    async with (
        asking(broker) as ours,
        asking(broker) as theirs,
        dispatcher(place, broker, ours.queue),
        plain_consumer(broker, theirs.queue, command),
    ):
        yield Sides(lambda: per_second(ours, OURS), lambda: per_second(theirs, THEIRS))


@asynccontextmanager
async def beside_direct_calls(place: Place) -> AsyncIterator[Sides]:
    broker = await place.broker()
    async with (
        asking(broker) as asker,
        dispatcher(place, broker, asker.queue),
        ready(await place.another_engine(), least=AT_ONCE) as direct,
    ):
        both: list[float] = []

        async def dispatched() -> None:
            check((await asker.ask(MESSAGE))["stdout"], OUTPUT)

        async def theirs() -> float:
            return both.pop()

        async def ours() -> float:
            took: tuple[list[float], list[float]] = [], []
            for _ in range(CALLS):
                for call, found in zip((dispatched, direct.ready_call), took, strict=True):
                    await asyncio.sleep(REST)
                    found.append(await timed(call))
            message, call_ms = map(statistics.median, took)
            both.append(call_ms)
            return message - call_ms

        yield Sides(ours, theirs)


@asynccontextmanager
async def queue_of_many(place: Place) -> AsyncIterator[Sides]:
    broker = await place.broker()

    async def ours() -> float:
        async with asking(broker) as asker:
            await asker.fill(EMPTY, count=WAITING)
            async with dispatcher(place, broker, asker.queue, engine="memory") as pid:
                await until(asker, WAITING - BEFORE)
                before = resident_of(pid)
                await until(asker, WAITING - TAKEN)
                return (peak_of(pid) - before) / MIB

    yield Sides(ours)


async def until(asker: Asker, left: int) -> None:
    while await asker.left() > left:
        await asyncio.sleep(0.2)


async def per_second(asker: Asker, count: int) -> float:
    """Send messages all at once, and return how many had their results in a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    results = await asyncio.gather(*(asker.ask(MESSAGE) for _ in range(count)))
    took = loop.time() - began
    for result in results:
        check(result["stdout"], OUTPUT)
    return count / took


@asynccontextmanager
async def dispatcher(
    place: Place, broker: Rabbit, queue: str, *, engine: str = "local"
) -> AsyncIterator[int]:
    """Run `wherry dispatch` with a function that has ready containers."""
    await place.engine()
    config = place.directory / f"dispatch-{next(_numbers)}.toml"
    config.write_text(
        f'[functions.shout]\nimage = "{IMAGE}"\ncommand = {json.dumps(COMMAND)}\n'
        f'ready = "created:{AT_ONCE}"\n'
    )
    words = ("dispatch", "-q", queue, "-P", str(AT_ONCE), "--config", str(config))
    where = ("--data-dir", str(place.data), engine, broker.url)
    async with running(WHERRY, *words, *where) as pid:
        yield pid


@asynccontextmanager
async def plain_consumer(broker: Rabbit, queue: str, command: list[str]) -> AsyncIterator[None]:
    """Consume as is usually written: run, reply, acknowledge, so many at one time."""
    connection = await aio_pika.connect(broker.url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=AT_ONCE)
        consumed = await channel.get_queue(queue)

        async def hear(message: AbstractIncomingMessage) -> None:
            data = json.loads(message.body)["Input"].encode()
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            out, _ = await process.communicate(data)
            reply = aio_pika.Message(
                json.dumps({"stdout": out.decode()}).encode(),
                correlation_id=message.correlation_id,
            )
            await channel.default_exchange.publish(reply, routing_key=str(message.reply_to))
            await message.ack()

        await consumed.consume(hear)
        yield


ROWS = (
    Row(
        name="dispatch, publish to reply",
        competitor="a plain consumer, docker run for each message",
        unit="/s",
        figure="ours/theirs",
        must=Bound(">=", 10),
        wanted=Bound(">=", 20),
        sides=against_docker_run,
        runs=7,
        warm_up=1,
    ),
    Row(
        name="dispatch, added to a direct call",
        competitor="the direct call, in a ready container as well",
        unit="ms",
        figure="ours",
        must=Bound("<=", 5),
        wanted=Bound("<=", 3),
        sides=beside_direct_calls,
        runs=7,
        warm_up=1,
    ),
    Row(
        name="dispatch, memory growth, 100,000 queued",
        competitor="none: a bound of its own",
        unit="MiB",
        figure="ours",
        must=Bound("<=", 16),
        wanted=Bound("<=", 4),
        sides=queue_of_many,
        runs=1,
        warm_up=0,
    ),
)
