"""What is being done for a message, apart from the connection that the message came on.

When the connection is lost, the broker delivers the same message once more while its container
still runs. The new delivery takes the flight over instead of starting a second one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.triggers.amqp.delivery import Delivery
    from wherry.triggers.amqp.outcome import Outcome

_MOST_ORPHANS = 10_000


@dataclass(slots=True, eq=False)
class Flight:
    """One message between its first delivery and its end."""

    delivery: Delivery
    """The newest one, which is to be acknowledged."""
    outcome: Outcome | None = None
    steps: set[str] = field(default_factory=set)
    """What followed from the outcome already."""
    held: str = ""
    """Its key in the record, when the broker does not have the message any more."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Settled, or left by its handler without being settled."""
    settled: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who settles it."""

    @property
    def is_cut_off(self) -> bool:
        """Whether the broker will deliver the message again."""
        session = self.delivery.session
        return not self.held and session is not None and session.is_lost

    @property
    def attempt(self) -> int:
        """Which try it was; its message has as many when it comes for the next one."""
        return self.outcome.attempt if self.outcome is not None else 0

    @property
    def is_tried_again(self) -> bool:
        """Whether what followed is another try, whose message may be here before the last ack."""
        return "retry" in self.steps


class Flights:
    """All flights of one dispatcher, by their keys."""

    def __init__(self) -> None:
        self._flights: OrderedDict[str, list[Flight]] = OrderedDict()
        self._orphans: OrderedDict[int, Flight] = OrderedDict()

    def add(self, delivery: Delivery) -> Flight:
        """Begin one."""
        flight = Flight(delivery)
        self._flights.setdefault(delivery.key, []).append(flight)
        return flight

    def of(self, delivery: Delivery) -> Flight | None:
        """Return the flight of the same message: of its id, or, without one, one cut off."""
        for flight in self._flights.get(delivery.key, ()):
            if delivery.id is not None or (flight.is_cut_off and delivery.message.redelivered):
                return flight
        return None

    def leave(self, flight: Flight) -> None:
        """Note that nobody works on a flight until its message comes again."""
        self._orphans[id(flight)] = flight
        flight.over.set()
        while len(self._orphans) > _MOST_ORPHANS:
            _, oldest = self._orphans.popitem(last=False)
            self.end(oldest)

    def end(self, flight: Flight) -> None:
        """Forget a flight. Idempotent."""
        self._orphans.pop(id(flight), None)
        same = self._flights.get(flight.delivery.key, [])
        if flight in same:
            same.remove(flight)
        if not same:
            self._flights.pop(flight.delivery.key, None)
        flight.over.set()
