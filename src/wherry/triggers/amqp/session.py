"""One connection to the broker: topology, deliveries and confirmed messages, until it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
from aio_pika import exceptions
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, InvalidFrameError

from wherry.errors import EngineError, EngineUnavailable, UsageError
from wherry.triggers.amqp.delivery import Delivery
from wherry.triggers.amqp.tolerance import tolerate

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

    from wherry.triggers.amqp.options import DispatchOptions

_PATIENCE = 20.0
"""Seconds for any exchange with the broker."""
_PARTING = 10.0
"""Seconds to take leave of it: one that has frozen must not hold a stop up."""
LOST = (*exceptions.CONNECTION_EXCEPTIONS, asyncio.InvalidStateError)
"""What a client raises whose connection has gone, or goes; TimeoutError is an OSError."""
_NOT_OPENED = "Expected one of ['Connection.OpenOk'], got <Connection.Close"
Arrived = Callable[[Delivery], None]


class SessionLost(EngineError):
    """The connection to the broker ended in the middle of an exchange."""


class Session:
    """What works until :attr:`lost` is set."""

    def __init__(
        self,
        connection: AbstractConnection,
        consuming: AbstractChannel,
        publishing: AbstractChannel,
        *,
        options: DispatchOptions,
    ) -> None:
        self.lost = asyncio.Event()
        self._connection = connection
        self._consuming = consuming
        self._publishing = publishing
        self._consumer: tuple[aio_pika.abc.AbstractQueue, str] | None = None
        self._options = options
        self._replies: AbstractConnection | None = None
        self._replying: AbstractChannel | None = None
        self._reply_lock = asyncio.Lock()
        for each in (connection, consuming, publishing):
            each.close_callbacks.add(lambda *_: self.lost.set())

    @property
    def is_lost(self) -> bool:
        """Whether nothing more can be said or heard."""
        return self.lost.is_set()

    async def consume(self, options: DispatchOptions, arrived: Arrived) -> None:
        """Hear of messages from now on, as many as are dispatched at one time.

        Raises :class:`SessionLost`, and :class:`UsageError` for a queue that is not for us.
        """
        try:
            await self._consume(options, arrived)
        except ChannelAccessRefused as error:
            raise UsageError(
                f"queue {options.queue!r}: we may not take from it: {error}"
            ) from error
        except LOST as error:
            self.lost.set()
            raise SessionLost(f"the connection to the broker was lost: {error!r}") from error

    async def _consume(self, options: DispatchOptions, arrived: Arrived) -> None:
        await self._consuming.set_qos(prefetch_count=options.concurrency, timeout=_PATIENCE)
        queue = await self._consuming.get_queue(options.queue, ensure=False)

        async def hear(message: AbstractIncomingMessage) -> None:
            arrived(Delivery(message=message, session=self))

        tag = await queue.consume(hear, timeout=_PATIENCE)
        self._consumer = (queue, tag)

    async def quiet(self) -> None:
        """Hear of no more messages. A broker that does not answer is lost."""
        if self._consumer is not None and not self.is_lost:
            queue, tag = self._consumer
            self._consumer = None
            try:
                await queue.cancel(tag, timeout=_PARTING)
            except LOST:
                self.lost.set()

    async def publish(self, message: aio_pika.Message, queue: str) -> bool:
        """Put a message on a queue and wait for the broker's word; False: there is no such queue.

        Raises :class:`SessionLost`.
        """
        try:
            await _send(self._publishing, message, queue)
        except exceptions.PublishError:
            return False
        except exceptions.DeliveryError as error:
            raise SessionLost(f"the broker did not take a message for {queue!r}") from error
        except LOST as error:
            self.lost.set()
            raise SessionLost(f"the connection to the broker was lost: {error!r}") from error
        return True

    async def reply(self, message: aio_pika.Message, queue: str) -> bool:
        """Send a reply on a connection of its own; False: nobody can have it.

        An address that a message made up can cost the broker's patience with the connection,
        which must not be the one that other messages came on. Raises :class:`SessionLost`.
        """
        for attempt in range(3):
            try:
                if attempt == 0:
                    await _send(await self._reply_channel(), message, queue)
                else:  # somebody else's address may have ended the connection, or ours
                    await self._send_apart(message, queue)
            except exceptions.PublishError:
                return False
            except LOST:
                continue
            except EngineUnavailable as error:
                raise SessionLost(str(error)) from error
            else:
                return True
        await self._check()
        return False

    async def _send_apart(self, message: aio_pika.Message, queue: str) -> None:
        connection = await _connected(self._options)
        try:
            await _send(await connection.channel(on_return_raises=True), message, queue)
        finally:
            await _close(connection)

    async def aclose(self) -> None:
        """Disconnect. Idempotent."""
        self.lost.set()
        await asyncio.gather(self._forget_replies(), _close(self._connection))

    async def _reply_channel(self) -> AbstractChannel:
        async with self._reply_lock:
            if self._replying is None or self._replying.is_closed:
                await self._forget_replies()
                self._replies = await _connected(self._options)
                self._replying = await self._replies.channel(on_return_raises=True)
            return self._replying

    async def _forget_replies(self) -> None:
        connection, self._replies, self._replying = self._replies, None, None
        if connection is not None:
            await _close(connection)

    async def _check(self) -> None:
        """Raise :class:`SessionLost` unless the broker answers."""
        try:
            await self._publishing.declare_queue(
                self._options.dead, passive=True, timeout=_PATIENCE
            )
        except LOST as error:
            self.lost.set()
            raise SessionLost(f"the connection to the broker was lost: {error!r}") from error

    async def ack(self, delivery: Delivery) -> None:
        """Tell the broker that a message has had its outcome; raises :class:`SessionLost`."""
        await self._tell(delivery, back=False)

    async def hand_back(self, delivery: Delivery) -> None:
        """Let the broker deliver a message to somebody else; raises :class:`SessionLost`."""
        await self._tell(delivery, back=True)

    async def _tell(self, delivery: Delivery, *, back: bool) -> None:
        if delivery.message.processed:
            return
        if self.is_lost:
            raise SessionLost("the connection to the broker was lost")
        try:
            if back:
                await delivery.message.nack(requeue=True)
            else:
                await delivery.message.ack()
        except LOST as error:
            self.lost.set()
            raise SessionLost(f"the connection to the broker was lost: {error!r}") from error


async def _send(channel: AbstractChannel, message: aio_pika.Message, queue: str) -> None:
    await channel.default_exchange.publish(
        message, routing_key=queue, mandatory=True, timeout=_PATIENCE
    )


@asynccontextmanager
async def session(options: DispatchOptions) -> AsyncIterator[Session]:
    """Connect and declare everything; leaving the block disconnects.

    Raises :class:`EngineUnavailable` when the broker cannot be reached, :class:`UsageError` for
    an address or a login that it refuses, or a queue that is there and different.
    """
    tolerate()
    connection = await _connected(options)
    try:
        consuming = await connection.channel(publisher_confirms=False)
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await _declare(connection, options)
        made = Session(connection, consuming, publishing, options=options)
    except LOST as error:
        await _close(connection)
        raise EngineUnavailable(f"the broker went away: {error!r}") from error
    except BaseException:
        await _close(connection)
        raise
    try:
        yield made
    finally:
        await made.aclose()


async def _connected(options: DispatchOptions) -> AbstractConnection:
    try:
        return await aio_pika.connect(
            options.url,
            timeout=options.patience,
            client_properties={"connection_name": "wherry dispatch"},
        )
    except (exceptions.AuthenticationError, exceptions.ProbableAuthenticationError) as error:
        raise UsageError(f"{options.asked}: the broker refuses this user and password") from error
    except LOST as error:
        if (reason := _refusal(error)) is not None:
            raise UsageError(f"{options.asked}: {reason}") from error
        raise EngineUnavailable(f"the broker cannot be reached: {_said(error)}") from error


def _refusal(error: BaseException) -> str | None:
    """Say why no later try does better, where that is so."""
    for each in (error, error.__cause__, error.__context__):
        if isinstance(each, ssl.SSLCertVerificationError):
            return (
                f"the broker's certificate is not trusted: {each.verify_message}; "
                "?cafile=FILE names the authority that signed it"
            )
        if isinstance(each, ssl.SSLError) and each.reason == "WRONG_VERSION_NUMBER":
            return "what listens there speaks no TLS; amqp:// is without"
    if isinstance(error, InvalidFrameError) and _NOT_OPENED in str(error):
        # aiormq 7.2 takes the broker's answer for a broken one, and keeps its reason to itself.
        return "the broker does not open the vhost: there is none of that name, or not for us"
    return None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _declare(connection: AbstractConnection, options: DispatchOptions) -> None:
    """Declare the queues, each on a channel that may be refused."""
    quorum = {"x-queue-type": "quorum"} if options.queue_type == "quorum" else {}
    await _queue(connection, options.queue, dict(quorum), passive=options.passive)
    await _queue(connection, options.dead, dict(quorum))
    for attempt in range(1, options.attempts):
        name, delay = options.retry(attempt)
        more = {
            "x-message-ttl": round(delay * 1000),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": options.queue,
        }
        await _queue(connection, name, {**quorum, **more})


async def _queue(
    connection: AbstractConnection,
    name: str,
    arguments: dict[str, object],
    *,
    passive: bool = False,
) -> None:
    channel = await connection.channel()
    try:
        await channel.declare_queue(
            name, durable=True, passive=passive, arguments=arguments or None, timeout=_PATIENCE  # type: ignore[arg-type]
        )  # fmt: skip
    except exceptions.ChannelPreconditionFailed as error:
        raise UsageError(
            f"queue {name!r} is there, and not as it would be declared; give --passive or another "
            f"--queue-type: {error}"
        ) from error
    except (ChannelAccessRefused, ChannelLockedResource) as error:
        raise UsageError(f"queue {name!r}: the broker does not let us have it: {error}") from error
    except exceptions.ChannelNotFoundEntity as error:
        raise UsageError(f"queue {name!r} is not there; leave --passive away") from error
    else:
        await channel.close()


async def _close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*LOST):
        async with asyncio.timeout(_PARTING):
            await connection.close()
