"""Funker's documents: one of JSON each way, the end of the stream is its frame.

The protocol has no errors: a function that fails closes the connection without an answer. Ours
answer with an object of one member, :data:`ERROR`, which old callers read as any other object.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping

from wherry.errors import UsageError
from wherry.funker.failures import FunkerFailed, FunkerUnanswered

PORT = 9999
ERROR = "$funker-error"
LARGEST = 64 * 1024 * 1024
"""Bytes of a document, unless somebody says otherwise."""

_KEEPALIVE = (
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)
"""A balancer forgets a connection that is silent for minutes, and a call may be."""


def encode(value: object, *, what: str) -> bytes:
    """Return a value as a document; raises :class:`UsageError` for one that is none."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what}: it cannot be written as JSON: {error}") from error


def decode(data: bytes) -> object:
    """Return the value of a document; raises :class:`ValueError` for what is none."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def failure(kind: str, message: str) -> bytes:
    """Return the document that says what went wrong."""
    return json.dumps({ERROR: {"type": kind, "message": message}}, ensure_ascii=False).encode()


def answer(data: bytes, *, where: str) -> object:
    """Read an answer; raises :class:`FunkerUnanswered` and :class:`FunkerFailed`."""
    if not data.strip():
        raise FunkerUnanswered(f"{where} closed the connection without an answer: it failed")
    try:
        value = decode(data)
    except ValueError as error:
        raise FunkerUnanswered(f"{where} answered {data[:80]!r}, no JSON: {error}") from error
    match value:
        case {"$funker-error": dict() as said, **more} if not more:
            raise FunkerFailed(_text(said, "message"), kind=_text(said, "type"))
    return value


def keep_alive(connection: socket.socket) -> None:
    """Say within every minute that we are still there."""
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        for level, option, value in _KEEPALIVE:
            connection.setsockopt(level, option, value)


def _text(said: Mapping[str, object], key: str) -> str:
    return str(said.get(key, ""))
