"""Properties that pamqp cannot read, read all the same.

A time that no calendar has, or a text that is no UTF-8, ends the whole connection there, and the
message comes again with the next one: a single message would stop the queue for ever. pamqp 4.0
has no other way in than its tables of decoders.
"""

from __future__ import annotations

from typing import Any

from pamqp import decode


def tolerate() -> None:
    """Read what cannot be read as nothing, in this process. Idempotent."""
    decode.METHODS["timestamp"] = _timestamp
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _table
    decode.TABLE_MAPPING[b"T"] = _timestamp


def _timestamp(value: bytes) -> tuple[int, Any]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, None


def _short_string(value: bytes) -> tuple[int, Any]:
    try:
        return decode.short_str(value)
    except ValueError:
        # As many bytes as it had: it may have to be sent once more.
        text = value[1 : 1 + value[0]].decode("ascii", errors="replace")
        return 1 + value[0], text.replace("\ufffd", "?")


def _table(value: bytes) -> tuple[int, Any]:
    try:
        return decode.field_table(value)
    except (ValueError, OverflowError, ArithmeticError):
        return 4 + int.from_bytes(value[:4]), {}
