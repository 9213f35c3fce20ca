"""One message as it came, and what of it goes along to other queues."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aio_pika import DeliveryMode, Message
from pamqp import encode

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    from wherry.triggers.amqp.session import Session

ATTEMPTS = "x-wherry-attempts"
REASON = "x-wherry-reason"
_LARGEST_HEADERS = 32 * 1024
"""Bytes: a frame has to hold them, and what we add."""
_LARGEST_REASON = 4096


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A message and the session that it came in; None once it is held here alone."""

    message: AbstractIncomingMessage
    session: Session | None
    key: str = field(init=False)
    """What the same message has again, should it come again."""

    def __post_init__(self) -> None:
        self.key = _key(self.message)

    @property
    def body(self) -> bytes:
        """The message itself."""
        return self.message.body

    @property
    def id(self) -> str | None:
        """The id that its producer gave it."""
        return self.message.message_id or None

    @property
    def attempts(self) -> int:
        """How many tries it has had, as its headers tell."""
        return _count(self.message.headers, ATTEMPTS)

    @property
    def deliveries(self) -> int:
        """How often a quorum queue has delivered it before."""
        return _count(self.message.headers, "x-delivery-count")

    def properties(self) -> dict[str, Any]:
        """Return what is kept of it, besides its body, where the broker does not."""
        message = self.message
        return {
            "message_id": message.message_id,
            "correlation_id": message.correlation_id,
            "reply_to": message.reply_to,
            "content_type": message.content_type,
            "attempts": self.attempts,
        }

    def again(self, *, attempts: int, more: Mapping[str, Any] | None = None) -> Message:
        """Return the message for another queue.

        Its ``user_id`` and ``expiration`` stay behind: the broker would refuse the first from
        us, and drop the message by the second.
        """
        given = self.message
        headers = _repeatable(given.headers)
        headers.pop("x-delivery-count", None)
        headers |= {ATTEMPTS: attempts, **_bounded(more or {})}
        return Message(
            given.body,
            headers=headers,
            content_type=given.content_type,
            content_encoding=given.content_encoding,
            delivery_mode=DeliveryMode.PERSISTENT,
            priority=given.priority,
            correlation_id=given.correlation_id,
            reply_to=given.reply_to,
            message_id=given.message_id,
            type=given.type,
            app_id=given.app_id,
        )


def held_message(body: bytes, properties: Mapping[str, Any]) -> Message:
    """Return a message that was held, to be queued again."""
    given = dict(properties)
    headers: dict[str, Any] = {ATTEMPTS: int(given.pop("attempts", 0))}
    return Message(body, headers=headers, delivery_mode=DeliveryMode.PERSISTENT, **given)


def _key(message: AbstractIncomingMessage) -> str:
    if message.message_id:
        return f"id:{message.message_id}"
    digest = hashlib.sha256(message.body)
    for each in (message.reply_to, message.correlation_id, message.type, message.app_id,
                 _count(message.headers, ATTEMPTS)):  # fmt: skip
        digest.update(f"\0{each!r}".encode())
    return f"body:{digest.hexdigest()}"


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0


def _repeatable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers that can be sent once more: not every type that comes can go."""
    found: dict[str, Any] = {}
    size = 0
    for name, value in headers.items():
        try:
            size += len(encode.field_table({name: value}))
        except (TypeError, ValueError, struct.error):
            continue
        found[name] = value
    return found if size < _LARGEST_HEADERS else {}


def _bounded(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value[:_LARGEST_REASON] if isinstance(value, str) else value
        for name, value in headers.items()
    }
