"""Answers of several nodes as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

FAILED = "docker-server-failed"
"""Header of a merged answer: the nodes that are missing in it, and why."""
HOST = "docker-server-host"
"""Header: the node that an answer is of."""
MISSING = "docker-server-missing"
"""Header between nodes: there is no such container here."""
TURNED_AWAY = "docker-server-turned-away"
"""Header between nodes: there was no room, and nothing was done."""
NODES = "docker-server-nodes"
"""Header of a merged answer: how many nodes are in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one node answered."""

    host: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether the node did what it was asked for."""
        return self.status < 400

    @property
    def is_missing(self) -> bool:
        """Whether the node knows no container of that name."""
        return self.headers.get(MISSING) == "1" or self.status == 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A node that did not answer; the reason holds nothing that it sent."""

    host: str
    reason: str


def told(failures: Sequence[Failure], *, answered: int) -> dict[str, str]:
    """Return the headers of a merged answer."""
    headers = {NODES: str(answered)}
    if failures:
        headers[FAILED] = ", ".join(f"{each.host} ({each.reason})" for each in failures)
    return headers


def rows(replies: Sequence[Reply], failures: Sequence[Failure] = ()) -> bytes:
    """Return the lists of all nodes as one; every row says its host.

    Failures are rows as well, with an ``error``: who asks for them wants no other shape.
    Raises ValueError for what is no list of objects.
    """
    merged: list[Mapping[str, Any]] = []
    for reply in replies:
        found = msgspec.json.decode(reply.body, type=list[dict[str, Any]])
        merged += [{**row, "host": reply.host} for row in found]
    merged += [{"host": each.host, "error": each.reason} for each in failures]
    return msgspec.json.encode(merged)


def lists(reply: Reply) -> bool:
    """Whether an answer is a list of objects."""
    try:
        msgspec.json.decode(reply.body, type=list[dict[str, msgspec.Raw]])
    except msgspec.DecodeError:
        return False
    return True


def best(replies: Sequence[Reply], *, method: str) -> Reply:
    """Return the answer that counts: of the node that has the container.

    A node that has it may have failed, while for the others it is missing. A removal of what is
    not there is a success that removed nothing.
    """
    return min(replies, key=lambda reply: _rank(reply, method=method))


def nobody_has_it(reply: Reply, *, method: str) -> bool:
    """Whether the answer that counts says that no node knows the container."""
    return _rank(reply, method=method) >= _NOTHING


def one(counted: Reply, replies: Sequence[Reply], *, failures: Sequence[Failure] = ()) -> bytes:
    """Return the object of the answer that counts, with its host and the status of every node."""
    statuses = [_status(reply, whole=reply is not counted) for reply in replies]
    statuses += [{"host": each.host, "error": each.reason} for each in failures]
    fields = _object(counted.body)
    return msgspec.json.encode({**fields, "host": counted.host, "nodes": statuses})


_NOTHING = 2


def _rank(reply: Reply, *, method: str) -> int:
    if reply.is_missing:
        return _NOTHING + 1
    if not reply.is_success:
        return 1
    removed_nothing = method == "DELETE" and not _object(reply.body).get("raw")
    return _NOTHING if removed_nothing else 0


def _status(reply: Reply, *, whole: bool) -> dict[str, Any]:
    """Return how a node answered; what else did something is told in full."""
    status: dict[str, Any] = {"host": reply.host, "code": reply.status}
    if not whole or (reply.is_success and not reply.body):
        return status
    fields = _object(reply.body)
    kept = fields if reply.is_success else {key: fields[key] for key in ("error",) if key in fields}
    return {**kept, **status}


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any]) if body else {}
    except msgspec.DecodeError:
        return {"raw": body.decode(errors="replace")}
