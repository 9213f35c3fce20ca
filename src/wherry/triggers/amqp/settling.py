"""What follows from an outcome, in the order that loses nothing: record, reply, queue, ack."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aio_pika import DeliveryMode, Message

from wherry.triggers.amqp.delivery import REASON
from wherry.triggers.amqp.outcome import Outcome, dumps
from wherry.triggers.amqp.session import Session, SessionLost

if TYPE_CHECKING:
    from wherry.triggers.amqp.delivery import Delivery
    from wherry.triggers.amqp.flights import Flight
    from wherry.triggers.amqp.options import DispatchOptions
    from wherry.triggers.amqp.record import Known, Record
    from wherry.triggers.amqp.tally import Tally

Say = Callable[[Outcome, Mapping[str, Any]], None]
"""Shows a result where results go."""
_log = logging.getLogger(__name__)


class Settling:
    """Settles flights; each step happens once per flight, however often it has to begin anew."""

    def __init__(self, options: DispatchOptions, record: Record, *, say: Say, tally: Tally) -> None:
        self._options = options
        self._tally = tally
        self._record = record
        self._say = say
        self._saying = asyncio.Lock()

    async def settle(self, flight: Flight, session: Session) -> None:
        """Do all that follows; raises :class:`SessionLost`, and goes on when called again."""
        assert flight.outcome is not None
        if flight.outcome.fate == "requeue" and flight.outcome.attempt < self._options.attempts:
            await self._retry(flight, session)
        else:
            await self._decide(flight, session)
        await self._ack(flight, session)

    async def repeat(self, delivery: Delivery, known: Known, *, session: Session) -> None:
        """Settle a message that has had its outcome: its producer sent it twice, or we crashed."""
        if not known.settled and known.fate == "reject":
            await self._bury(delivery, session, known.result)
        if not (known.settled and delivery.message.redelivered):
            await self._reply(delivery, session, known.result, is_duplicate=known.settled)
        assert delivery.id is not None
        await self._record.settle(self._options.place, delivery.id)
        await session.ack(delivery)
        self._tally.repeated += 1

    async def _retry(self, flight: Flight, session: Session) -> None:
        outcome = flight.outcome
        assert outcome is not None
        if "retry" not in flight.steps:
            queue, delay = self._options.retry(outcome.attempt)
            again = flight.delivery.again(attempts=outcome.attempt, more={REASON: outcome.reason})
            await self._put(again, queue, session)
            flight.steps.add("retry")
            self._tally.retried += 1
            extra = {"attempt": outcome.attempt, "seconds": delay, "reason": outcome.reason}
            _log.info("a message is tried again", extra=extra)

    async def _decide(self, flight: Flight, session: Session) -> None:
        outcome, delivery, steps = self._final(flight), flight.delivery, flight.steps
        document = outcome.document(message_id=delivery.id)
        if delivery.id is not None and "decide" not in steps:
            fate, result = outcome.fate, dumps(document).decode()
            await self._record.decide(self._options.place, delivery.id, fate=fate, result=result)
            steps.add("decide")
        if "count" not in steps:  # who has had a reply finds it counted
            steps.add("count")
            self._count(outcome)
        if "reply" not in steps:
            await self._reply(delivery, session, document, is_duplicate=False)
            steps.add("reply")
        if outcome.fate == "reject" and "bury" not in steps:
            await self._bury(delivery, session, document)
            steps.add("bury")
        if "say" not in steps:
            steps.add("say")
            await self._show(outcome, document)
        if delivery.id is not None:
            await self._record.settle(self._options.place, delivery.id)

    def _count(self, outcome: Outcome) -> None:
        if outcome.fate == "reject":
            self._tally.rejected += 1
        else:
            self._tally.acknowledged += 1

    async def _show(self, outcome: Outcome, document: Mapping[str, Any]) -> None:
        """Print a result; a reader that is slow or gone is no reason to lose the broker."""
        async with self._saying:
            try:
                await asyncio.to_thread(self._say, outcome, document)
            except OSError as error:
                _log.warning("a result could not be printed", extra={"reason": str(error)})

    def _final(self, flight: Flight) -> Outcome:
        outcome = flight.outcome
        assert outcome is not None
        if outcome.fate != "requeue":
            return outcome
        reason = f"tried {outcome.attempt} times, at last: {outcome.reason}"
        return replace(outcome, fate="reject", reason=reason)

    async def _reply(
        self,
        delivery: Delivery,
        session: Session,
        document: Mapping[str, Any],
        *,
        is_duplicate: bool,
    ) -> None:
        given = delivery.message
        if not given.reply_to:
            return
        reply = Message(
            dumps(document),
            content_type="application/json",
            correlation_id=given.correlation_id or given.message_id,
            delivery_mode=DeliveryMode.PERSISTENT,
            headers={"x-wherry-duplicate": True} if is_duplicate else None,
        )
        if not await session.reply(reply, given.reply_to):
            _log.warning("nobody waits for a reply", extra={"reply_to": given.reply_to})

    async def _bury(
        self, delivery: Delivery, session: Session, document: Mapping[str, Any]
    ) -> None:
        more = {
            REASON: document.get("error") or "rejected",
            "x-wherry-queue": self._options.queue,
            "x-wherry-exit-code": document.get("exit_code"),
        }
        attempts = int(document.get("attempt") or 1)
        dead = delivery.again(attempts=attempts, more=more)
        await self._put(dead, self._options.dead, session)

    async def _put(self, message: Message, queue: str, session: Session) -> None:
        if not await session.publish(message, queue):
            session.lost.set()  # the next session declares it anew
            raise SessionLost(f"queue {queue!r} has gone")

    async def _ack(self, flight: Flight, session: Session) -> None:
        if flight.held:
            await self._record.release(flight.held)
        else:
            await session.ack(flight.delivery)
        if flight.delivery.message.redelivered:
            await self._record.forget_deliveries(self._options.place, flight.delivery.key)
