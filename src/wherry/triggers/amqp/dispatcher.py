"""Messages of a queue become containers, as many at one time as are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from wherry.errors import EngineError, EngineUnavailable, TooLarge, UsageError
from wherry.triggers.amqp.delivery import Delivery, held_message
from wherry.triggers.amqp.flights import Flight, Flights
from wherry.triggers.amqp.message import parse
from wherry.triggers.amqp.outcome import Outcome
from wherry.triggers.amqp.record import Held
from wherry.triggers.amqp.session import Session, SessionLost, session
from wherry.triggers.amqp.settling import Say, Settling
from wherry.triggers.amqp.tally import Tally

if TYPE_CHECKING:
    from wherry.triggers.amqp.options import DispatchOptions
    from wherry.triggers.amqp.performing import Performer
    from wherry.triggers.amqp.record import Record

T = TypeVar("T")
_FIRST_PAUSE = 0.2
_FAILURE_PAUSE = 1.0
_HOLD_AT = 0.5
"""Part of the broker's patience after which a message is held here instead."""
_log = logging.getLogger(__name__)


class Dispatcher:
    """Dispatches one queue until it is stopped."""

    def __init__(
        self, options: DispatchOptions, performer: Performer, *, record: Record, say: Say
    ) -> None:
        self.connected = asyncio.Event()
        """Whether messages are heard now."""
        self.problem: str | None = None
        """Why none are heard."""
        self.tally = Tally()
        self._options = options
        self._performer = performer
        self._record = record
        self._settling = Settling(options, record, say=say, tally=self.tally)
        self._flights = Flights()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: Session | None = None
        self._changed = asyncio.Event()
        self._stopping = False
        self._is_refused = False
        self._pause, self._has_worked = _FIRST_PAUSE, False

    @property
    def running(self) -> int:
        """How many messages are being dealt with now."""
        return len(self._tasks)

    async def run(
        self, stop: asyncio.Event, *, at_once: asyncio.Event, patient: bool = False
    ) -> None:
        """Dispatch until ``stop``; ``at_once`` ends what still runs then.

        A broker that is away is waited for. Raises :class:`UsageError` for an address, login or
        queue that cannot be right when it is first tried; who is ``patient`` tries that again, too.
        """
        try:
            await self._dispatch(stop, at_once=at_once, patient=patient)
            await self._finish(at_once)
        finally:
            for task in self._tasks:  # where it ends in any other way
                task.cancel()
            await _ended(self._tasks)

    async def _dispatch(
        self, stop: asyncio.Event, *, at_once: asyncio.Event, patient: bool
    ) -> None:
        while not stop.is_set():
            try:
                async with AsyncExitStack() as stack:
                    connecting = stack.enter_async_context(session(self._options))
                    if (opened := await _unless(stop, connecting)) is None:
                        return
                    await self._serve(opened, stop=stop, at_once=at_once)
            except (EngineUnavailable, SessionLost, UsageError) as error:
                if isinstance(error, UsageError) and not (self._has_worked or patient):
                    raise
                self._note(error)
            if not stop.is_set():
                await _happens(stop, within=self._pause)
                self._pause = min(2 * self._pause, self._options.longest_pause)

    def _note(self, error: Exception) -> None:
        """Say once why nothing is heard, and then only what is new."""
        if self.problem is None or isinstance(error, UsageError) != self._is_refused:
            said = {"queue": self._options.queue, "reason": str(error)}
            _log.warning("no messages are heard; it is tried again", extra=said)
        self.problem = str(error)
        self._is_refused = isinstance(error, UsageError)

    async def _serve(self, opened: Session, *, stop: asyncio.Event, at_once: asyncio.Event) -> None:
        if await _unless(stop, self._begin(opened)) is None:
            return
        self._enter(opened)
        _log.info("dispatching", extra={"queue": self._options.queue})
        try:
            await _first(opened.lost, stop)
            if stop.is_set():
                self._stopping = True
                await opened.quiet()
                await self._finish(at_once)
                return
        finally:
            self._enter(None)
        raise SessionLost("the connection to the broker was lost")

    async def _begin(self, opened: Session) -> Session:
        await self._recover(opened)
        await opened.consume(self._options, self._arrived)
        return opened

    def _enter(self, opened: Session | None) -> None:
        self._session = opened
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if opened is None:
            self.connected.clear()
        else:
            self.problem = None
            self._pause, self._has_worked = _FIRST_PAUSE, True
            self.connected.set()

    async def _recover(self, opened: Session) -> None:
        """Queue again what a dispatcher held that is gone."""
        for held in await self._record.orphans(self._options.place):
            properties = {**held.properties, "attempts": held.properties["attempts"] + 1}
            if await opened.publish(held_message(held.body, properties), self._options.queue):
                await self._record.release(held.key)

    async def _finish(self, at_once: asyncio.Event) -> None:
        """Let what runs end within the grace; what then still runs is handed back."""
        if self._tasks:
            hurry = asyncio.create_task(at_once.wait())
            ending = asyncio.ensure_future(_ended(self._tasks))
            await asyncio.wait({hurry, ending}, timeout=self._options.grace,
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            hurry.cancel()
            for task in self._tasks:
                task.cancel()
            await ending

    def _arrived(self, delivery: Delivery) -> None:
        work = self._hand_back(delivery) if self._stopping else self._handle(delivery)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._fly(delivery)
        except SessionLost:
            return  # it comes again
        except asyncio.CancelledError:
            await self._hand_back(delivery)
            raise
        except Exception:  # noqa: BLE001 - one message's failure must never be another's
            _log.exception("a message could not be dealt with")
            await asyncio.sleep(_FAILURE_PAUSE)
            await self._hand_back(delivery)

    async def _fly(self, delivery: Delivery) -> None:
        while (flight := self._flights.of(delivery)) is not None:
            if flight.is_cut_off:
                flight.delivery = delivery  # whoever works on it settles this one now
            await flight.over.wait()
            if not flight.settled:
                if flight.outcome is None:
                    continue  # it came to none, or was answered from the record
                flight.delivery = delivery
                await self._settle(flight)
                return
            if delivery.id is None or flight.delivery is delivery:
                return
            if flight.is_tried_again and delivery.attempts < flight.attempt:
                await self._of(delivery).ack(delivery)  # its twin goes on in its place
                return
        flight = self._flights.add(delivery)
        try:
            if await self._is_known(delivery):
                self._flights.end(flight)
                return
            flight.outcome = await self._tried(flight)
        except BaseException:
            self._flights.end(flight)
            raise
        await self._settle(flight)

    async def _is_known(self, delivery: Delivery) -> bool:
        """Settle a message that has had its outcome, as the record tells."""
        if delivery.id is None:
            return False
        known = await self._record.find(self._options.place, delivery.id)
        if known is not None:
            await self._settling.repeat(delivery, known, session=self._of(delivery))
        return known is not None

    async def _settle(self, flight: Flight) -> None:
        async with flight.lock:
            if not flight.settled:
                flight.over.clear()
                await self._settle_locked(flight)

    async def _settle_locked(self, flight: Flight) -> None:
        try:
            while True:
                held = flight.held
                used = await self._live() if held else self._of(flight.delivery)
                try:
                    await self._settling.settle(flight, used)
                except SessionLost:
                    if not held and flight.is_cut_off:
                        raise
                    continue  # taken over by a newer delivery meanwhile, or held here
                flight.settled = True
                self._flights.end(flight)
                return
        except SessionLost:
            self._flights.leave(flight)
            raise
        except BaseException:
            self._flights.end(flight)
            raise

    async def _tried(self, flight: Flight) -> Outcome:
        """Try a message, and hold it here before the broker takes it for lost."""
        delivery = flight.delivery
        attempt = 1 + delivery.attempts + delivery.deliveries
        work = asyncio.create_task(self._perform(delivery))
        try:
            while True:
                patience = None if flight.held else self._options.ack_timeout * _HOLD_AT
                done, _ = await asyncio.wait({work}, timeout=patience)
                if done:
                    return work.result().tried(attempt)
                await self._hold(flight)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            if flight.held:
                await self._queue_again(flight)
            raise

    async def _perform(self, delivery: Delivery) -> Outcome:
        options = self._options
        if delivery.message.redelivered:
            count = await self._record.delivered(options.place, delivery.key)
            if count > options.most_deliveries:
                return _refused(f"it was delivered {count} times without an outcome")
        try:
            if len(delivery.body) > options.max_message:
                raise TooLarge(f"the message has more than {options.max_message} bytes")
            message = parse(delivery.body)
            options.policy.check(message)
        except UsageError as error:
            return _refused(str(error))
        return await self._performer.perform(message, key=delivery.key)

    async def _hold(self, flight: Flight) -> None:
        """Keep the message in the record, and let the broker forget it."""
        delivery = flight.delivery
        if delivery.session is None or delivery.session.is_lost:
            return  # it comes again, and is held then
        key = os.urandom(16).hex()
        held = Held(key=key, queue=self._options.place, body=delivery.body,
                    properties=delivery.properties())  # fmt: skip
        await self._record.hold(held)
        try:
            await delivery.session.ack(delivery)
        except SessionLost:
            await self._record.release(key)
        else:
            flight.held = key

    async def _queue_again(self, flight: Flight) -> None:
        with contextlib.suppress(EngineError, TimeoutError):
            async with asyncio.timeout(5):
                used = await self._live()
                again = flight.delivery.again(attempts=flight.delivery.attempts)
                if await used.publish(again, self._options.queue):
                    await self._record.release(flight.held)

    async def _hand_back(self, delivery: Delivery) -> None:
        if delivery.session is not None:
            with contextlib.suppress(EngineError):
                await delivery.session.hand_back(delivery)

    async def _live(self) -> Session:
        while self._session is None or self._session.is_lost:
            await self._changed.wait()
        return self._session

    @staticmethod
    def _of(delivery: Delivery) -> Session:
        assert delivery.session is not None
        return delivery.session


def _refused(reason: str) -> Outcome:
    return Outcome(fate="reject", operation="", reason=reason)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do some work; None, and no more of it, when ``stop`` comes first."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        stopping.cancel()
        working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return None


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _happens(event: asyncio.Event, *, within: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()


async def _first(*events: asyncio.Event) -> None:
    tasks = {asyncio.create_task(event.wait()) for event in events}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
