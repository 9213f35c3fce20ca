"""A dispatcher on the tests' RabbitMQ node, in this process or in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import aio_pika
import pytest

from wherry.client import AsyncClient
from wherry.testing import Call, MemoryEngine
from wherry.triggers.amqp.dispatcher import Dispatcher
from wherry.triggers.amqp.options import DispatchOptions
from wherry.triggers.amqp.performing import Performer
from wherry.triggers.amqp.record import Record

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
    from tests.support.rabbitmq import Rabbit

    from wherry.engines.base import Engine
    from wherry.triggers.amqp.outcome import Outcome
    from wherry.triggers.amqp.settling import Say

PATIENCE = 40.0


def run(*command: str, image: str = "busybox", **options: Any) -> dict[str, Any]:
    """Return the message that runs a command, attached and removed unless it says otherwise."""
    document: dict[str, Any] = {"Dockercmd": "run", "Image": image, "Cmd": list(command)}
    if "Input" in options:
        document["Input"] = options.pop("Input")
    document["Options"] = {"Attach": ["STDOUT", "STDERR"], "Remove": True, **options}
    return document


class Producer:
    """Who sends messages to a queue, and waits for results."""

    def __init__(self, channel: AbstractChannel, queue: str, replies: AbstractQueue) -> None:
        self.channel = channel
        self.queue = queue
        self.replies = replies
        self._number = 0

    async def send(self, message: object, **properties: Any) -> str:
        """Send a message, and return its correlation id."""
        self._number += 1
        identity = f"c{self._number}"
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        made = aio_pika.Message(
            body, **{"reply_to": self.replies.name, "correlation_id": identity, **properties}
        )
        await self.channel.default_exchange.publish(made, routing_key=self.queue)
        return identity

    async def result(self) -> dict[str, Any]:
        """Wait for the next result."""
        message = await take(self.replies)
        return {**json.loads(message.body), "id": message.correlation_id,
                "duplicate": bool(message.headers.get("x-wherry-duplicate"))}  # fmt: skip

    async def ask(self, message: object, **properties: Any) -> dict[str, Any]:
        """Send a message and wait for its result."""
        identity = await self.send(message, **properties)
        result = await self.result()
        assert result["id"] == properties.get("correlation_id", identity), result
        return result

    async def dead(self) -> AbstractIncomingMessage:
        """Wait for the next dead letter."""
        return await take(await self.channel.get_queue(f"{self.queue}.dead"))

    async def left(self, suffix: str = "") -> int:
        """Return how many messages wait in a queue."""
        found = await self.channel.declare_queue(f"{self.queue}{suffix}", passive=True)
        return int(found.declaration_result.message_count or 0)


async def take(queue: AbstractQueue) -> AbstractIncomingMessage:
    async with asyncio.timeout(PATIENCE):
        while (message := await queue.get(fail=False)) is None:
            await asyncio.sleep(0.01)
    await message.ack()
    return message


@asynccontextmanager
async def producing(
    rabbit: Rabbit, name: str, *, url: str | None = None
) -> AsyncIterator[Producer]:
    """Have a producer of a queue, which is removed with everything that belongs to it."""
    connection = await aio_pika.connect(url or rabbit.url)
    async with connection:
        channel = await connection.channel()
        replies = await channel.declare_queue(f"{name}.replies", durable=True)
        producer = Producer(channel, name, replies)
        try:
            yield producer
        finally:
            for suffix in ("", ".dead", ".replies", ".retry.10", ".retry.20", ".retry.1000"):
                await channel.queue_delete(f"{name}{suffix}")


def queue_of(request: pytest.FixtureRequest) -> str:
    """Return a queue's name that no other test has."""
    return f"q-{abs(hash(request.node.nodeid)) % 10**12}"


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """The name of a queue of the test's own."""
    return queue_of(request)


@pytest.fixture
async def producer(rabbit: Rabbit, queue: str) -> AsyncIterator[Producer]:
    """Who sends messages to that queue."""
    async with producing(rabbit, queue) as made:
        yield made


class Line:
    """What lies between a dispatcher and the broker, and can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """End every connection without a word, as a network does."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def freeze(self) -> None:
        """Take everything and hand nothing on, as a broker does that has stopped in its tracks."""
        self._flows.clear()

    async def aclose(self) -> None:
        self.cut()
        self._flows.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()


class Running:
    """A dispatcher in this process."""

    def __init__(
        self, dispatcher: Dispatcher, said: list[tuple[Outcome, Mapping[str, Any]]], *, line: Line
    ) -> None:
        self.line = line
        self.dispatcher = dispatcher
        self.said = said
        self.stop = asyncio.Event()
        self.at_once = asyncio.Event()


@asynccontextmanager
async def dispatching(
    rabbit: Rabbit,
    name: str,
    *,
    state: Path,
    engine: Engine | None = None,
    performer: Mapping[str, Any] | None = None,
    say: Say | None = None,
    **options: Any,
) -> AsyncIterator[Running]:
    """Dispatch a queue for the block; it ends well, and leaves nothing that runs."""
    engine = engine or MemoryEngine()
    said: list[tuple[Outcome, Mapping[str, Any]]] = []
    line = Line(rabbit.port)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    url = f"amqp://guest:guest@127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    made = DispatchOptions(
        **{"url": url, "queue": name, "state": state, "delays": (0.01, 0.02),
           "grace": 5.0, "longest_pause": 0.3, **options}
    )  # fmt: skip
    record = await Record.open(state)
    async with AsyncClient(engine) as client, asyncio.timeout(90):
        dispatcher = Dispatcher(
            made,
            Performer(client=client, **(performer or {})),
            record=record,
            say=say or (lambda outcome, document: said.append((outcome, document))),
        )
        running = Running(dispatcher, said, line=line)
        task = asyncio.create_task(dispatcher.run(running.stop, at_once=running.at_once))
        connected = asyncio.create_task(dispatcher.connected.wait())
        try:
            await asyncio.wait({task, connected}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield running
            running.stop.set()
            await task
        finally:
            connected.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await record.aclose()
            server.close()
            await line.aclose()
    if isinstance(engine, MemoryEngine):
        assert engine.running == {}


def dispatcher_process(
    rabbit: Rabbit,
    name: str,
    *words: str,
    data: Path,
    engine: str = "memory",
    said: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `wherry dispatch`; without ``said`` its output goes to pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "wherry", "dispatch", "-q", name, *words, engine, rabbit.url],
        env={**os.environ, "WHERRY_DATA_DIR": str(data)},
        stdin=subprocess.DEVNULL, stdout=said or subprocess.PIPE, stderr=said or subprocess.PIPE,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Ask a process to stop; return its exit code and what it said."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


class Gate:
    """A program that says when it runs, and ends when it may."""

    def __init__(self) -> None:
        self.started = 0
        self.running = 0
        self.most = 0
        self.change = asyncio.Condition()
        self.open = asyncio.Event()

    async def __call__(self, call: Call) -> int:
        async with self.change:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
            self.change.notify_all()
        try:
            await self.open.wait()
            await call.stdout.write(b"done")
            return 0
        finally:
            self.running -= 1

    async def until(self, started: int) -> None:
        async with self.change, asyncio.timeout(20):
            await self.change.wait_for(lambda: self.started >= started)


async def crash(running: Running) -> None:
    """End the connection as the end of the process would, and the dispatcher with it."""
    session = running.dispatcher._session
    assert session is not None
    running.stop.set()
    running.at_once.set()
    running.line.cut()
    await session.lost.wait()
