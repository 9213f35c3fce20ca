"""A RabbitMQ node of our own to measure with, and who sends messages and waits for results."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest
from bench.harness import Missing
from tests.support.rabbitmq import Rabbit, a_rabbit

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

_numbers = itertools.count()
_PATIENCE = 120.0


@asynccontextmanager
async def private_broker() -> AsyncIterator[Rabbit]:
    """Start a node on free ports of the loopback, with its own data, and end it again."""
    running = a_rabbit()
    try:
        broker = await asyncio.to_thread(running.__enter__)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        raise Missing(str(error)) from error
    try:
        yield broker
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


class Asker:
    """Sends messages to one queue, and hears what is answered."""

    def __init__(self, channel: AbstractChannel, queue: str, replies: str) -> None:
        self.queue = queue
        self._channel = channel
        self._replies = replies
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._sent = itertools.count()

    async def ask(self, document: object, *, named: bool = True) -> dict[str, Any]:
        """Send a message, with an id of its own where ``named``, and wait for its result."""
        number = f"{self.queue}-{next(self._sent)}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        message = aio_pika.Message(
            json.dumps(document).encode(),
            reply_to=self._replies,
            correlation_id=number,
            message_id=number if named else None,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self._channel.default_exchange.publish(message, routing_key=self.queue)
        async with asyncio.timeout(_PATIENCE):
            return await answer

    async def fill(self, document: object, *, count: int) -> None:
        """Send messages that nobody waits for."""
        message = aio_pika.Message(json.dumps(document).encode())
        for at in range(0, count, 1000):
            await asyncio.gather(*(
                self._channel.default_exchange.publish(message, routing_key=self.queue)
                for _ in range(min(1000, count - at))
            ))  # fmt: skip

    async def left(self) -> int:
        """Return how many messages wait."""
        found = await self._channel.declare_queue(self.queue, passive=True)
        return int(found.declaration_result.message_count or 0)

    async def hear(self, message: AbstractIncomingMessage) -> None:
        """Take an answer."""
        answer = self._waiting.pop(str(message.correlation_id), None)
        if answer is not None and not answer.done():
            answer.set_result(json.loads(message.body))


@asynccontextmanager
async def asking(broker: Rabbit) -> AsyncIterator[Asker]:
    """Have a queue of one's own, and who asks; the queue is durable, as a dispatcher's."""
    name = f"bench-{next(_numbers)}"
    connection = await aio_pika.connect(broker.url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.declare_queue(name, durable=True)
        replies = await channel.declare_queue(exclusive=True)
        asker = Asker(channel, name, replies.name)
        await replies.consume(asker.hear, no_ack=True)
        try:
            yield asker
        finally:
            with contextlib.suppress(aio_pika.exceptions.AMQPError):
                await channel.queue_delete(name)
