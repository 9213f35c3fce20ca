"""Rows of the database as values."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from wherry.calls.model import Callback, CallRecord, QueuedRequest
from wherry.calls.payloads import Payload

if TYPE_CHECKING:
    from wherry.service.call import Call

_BRIEF = (
    "number, id, name, namespace, trigger, state, created, started, first_byte, ended, attempts,"
    " interruptions, due_at, cancelling, status, exit_code, exit_reason, error, stdin_bytes,"
    " stdout_bytes, result_size"
)
COLUMNS = ", ".join(f"calls.{name.strip()}" for name in _BRIEF.split(","))
"""What :func:`record` needs; ``calls.stderr`` and a row of ``callbacks`` are welcome."""

SELECT = (
    f"SELECT {COLUMNS}, callbacks.url AS callback_url, callbacks.state AS callback_state,"
    " callbacks.attempts AS callback_attempts, callbacks.status AS callback_status,"
    " callbacks.error AS callback_error, callbacks.due_at AS callback_due"
)
FROM = " FROM calls LEFT JOIN callbacks ON callbacks.number = calls.number "
_TAKEN = [name.strip() for name in _BRIEF.split(",")]


def record(row: sqlite3.Row) -> CallRecord:
    """Read a row of :data:`SELECT`."""
    values: dict[str, Any] = {name: row[name] for name in _TAKEN if name != "due_at"}
    values["cancelling"] = bool(values["cancelling"])
    keys = row.keys()
    return CallRecord(
        due=row["due_at"] if row["state"] == "queued" else None,
        stderr=row["stderr"] if "stderr" in keys else b"",
        callback=_callback(row) if "callback_url" in keys else None,
        **values,
    )


def _callback(row: sqlite3.Row) -> Callback | None:
    if row["callback_url"] is None:
        return None
    state = row["callback_state"]
    return Callback(
        url=without_secrets(row["callback_url"]),
        state=state,
        attempts=row["callback_attempts"],
        status=row["callback_status"],
        error=row["callback_error"],
        due=row["callback_due"] if state == "pending" else None,
    )


def payload(row: sqlite3.Row, *, size: int) -> Payload:
    """Read the ``body`` and ``file`` of a row."""
    return Payload(size, data=row["body"], file=row["file"])


def pack(request: QueuedRequest) -> bytes:
    """Write a request for the database."""
    return msgspec.json.encode(
        {
            "args": request.args,
            "env": dict(request.env),
            "timeout": request.timeout,
            "callback": request.callback,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
        }
    )


def unpack(data: bytes, *, id: str, name: str, namespace: str) -> QueuedRequest:  # noqa: A002
    """Read what :func:`pack` wrote."""
    values = msgspec.json.decode(data)
    values["args"] = tuple(values["args"])
    values["headers"] = tuple((key, value) for key, value in values["headers"])
    return QueuedRequest(id=id, name=name, namespace=namespace, **values)


def without_secrets(url: str) -> str:
    """Return a URL for other eyes than its receiver's: without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def callback_of(data: bytes) -> str | None:
    """Return the callback's URL of a packed request."""
    url = msgspec.json.decode(data)["callback"]
    return None if url is None else str(url)


def finished(call: Call) -> CallRecord:
    """Return the record of a call that somebody waits for, as it is now."""
    ok = call.exit is not None and call.exit.ok and call.error is None
    return CallRecord(
        number=0,
        id=call.id,
        name=call.deployed.name,
        namespace=call.deployed.namespace,
        trigger=call.trigger,
        state="running" if call.ended is None else "done" if ok else "failed",
        created=call.began,
        started=call.started,
        first_byte=call.first_byte,
        ended=call.ended,
        attempts=1,
        status=call.status,
        exit_code=call.exit.code if call.exit else None,
        exit_reason=call.exit.reason if call.exit else None,
        error=describe(call.error) if call.error else None,
        stdin_bytes=call.stdin_bytes,
        stdout_bytes=call.stdout_bytes,
        stderr=bytes(call.stderr_tail),
    )


def describe(error: BaseException) -> str:
    """Return the message of an error, or what it is when it has none; at most 2,000 characters."""
    return (str(error) or type(error).__name__)[:2000]
