"""How a queue is dispatched."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wherry.errors import UsageError
from wherry.triggers.amqp.address import PATIENCE
from wherry.triggers.amqp.policy import Policy

QUEUE = "docker-dispatch"
QueueType = Literal["classic", "quorum"]
_LONGEST_NAME = 230
"""Bytes: AMQP has 255, of which the names of our other queues take some."""
_LONGEST_DELAY = 49 * 24 * 3600.0
"""Seconds: RabbitMQ counts a message's life in milliseconds of 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchOptions:
    """Everything about one dispatcher but its engine."""

    url: str = field(repr=False)
    """As :attr:`wherry.triggers.amqp.address.Address.url`."""
    asked: str = "AMQPADDR"
    """What errors about the address call it."""
    broker: str = ""
    """As :attr:`wherry.triggers.amqp.address.Address.place`."""
    patience: float = PATIENCE
    """Seconds until the broker must have taken a connection."""
    queue: str = QUEUE
    state: Path
    """Directory of the record."""
    concurrency: int = 4
    """Messages at one time: the prefetch as well."""
    passive: bool = False
    """The queue has to be there; it is not declared."""
    queue_type: QueueType = "classic"
    delays: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)
    """Seconds before each try after the first."""
    most_deliveries: int = 20
    """A message that came so often without any outcome, as one that kills us, is a dead letter."""
    ack_timeout: float = 1800.0
    """Seconds after which the broker takes an unacknowledged message for lost."""
    grace: float = 30.0
    """Seconds that what runs has when the dispatcher stops."""
    max_message: int = 16 * 1024 * 1024
    """Bytes of a message."""
    policy: Policy = field(default_factory=Policy)
    longest_pause: float = 30.0
    """Seconds between two tries to reach the broker."""

    @property
    def place(self) -> str:
        """What the record calls the queue: another broker's may have the same name."""
        return f"{self.broker} {self.queue}" if self.broker else self.queue

    @property
    def attempts(self) -> int:
        """How often a message is tried at most."""
        return len(self.delays) + 1

    @property
    def dead(self) -> str:
        """Name of the dead-letter queue."""
        return f"{self.queue}.dead"

    def retry(self, attempt: int) -> tuple[str, float]:
        """Return the queue of messages that wait after a try, and for how many seconds."""
        delay = self.delays[min(attempt, len(self.delays)) - 1]
        return f"{self.queue}.retry.{round(delay * 1000)}", delay


def check_queue(name: str, *, field: str) -> str:
    """Return a queue's name; raises :class:`UsageError` for one that no broker can have."""
    if len(name.encode(errors="replace")) > _LONGEST_NAME:
        raise UsageError(f"{field}: {name[:20]!r}… must have at most {_LONGEST_NAME} bytes")
    if not name.isprintable():
        raise UsageError(f"{field}: {name!r} holds a character that cannot be printed")
    return name


def check_delays(delays: tuple[float, ...], *, field: str) -> tuple[float, ...]:
    """Return pauses; raises :class:`UsageError` for one that is longer than queues can hold."""
    for each in delays:
        if each > _LONGEST_DELAY:
            raise UsageError(f"{field}: {each:g} s is too long; a pause is of 49 days at most")
    return delays
