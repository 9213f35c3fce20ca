"""Who asked for what, and what became of it: one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_LOG = logging.getLogger(__name__)
_LONGEST = 300
_FULL = 64 * 1024 * 1024
_KEPT = 4
_BURST = 2000
_A_SECOND = 50.0
_TENANTS = 10_000

Verdict = Literal["allowed", "denied", "failed", "lifetime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: never a body, a query's values, a header or an environment."""

    tenant: str
    verb: str
    """Method and path without the query, or what the proxy did by itself, such as ``remove``."""
    object: str = ""
    """Kind and full id, where one is known."""
    verdict: Verdict
    status: int = 0
    """That was answered; 0: nothing was."""
    rule: str = ""
    """Of the policy, for what was denied."""
    reason: str = ""
    is_change: bool = True
    """Whether something was, or may have been, changed: such a line is always written."""


@dataclass(slots=True)
class _Room:
    """How many lines of a tenant that changed nothing are written now."""

    lines: float
    since: float
    left_out: int = 0


class Audit:
    """A file of lines; without one they go nowhere.

    When it is full it becomes ``NAME.1``, what was that ``NAME.2``, and so on to ``kept`` of them,
    so that what a tenant asks for cannot fill the disk. Nor can it push out what it has done by
    asking for more: of requests that changed nothing 2000 at once and 50 in a second are written
    for each tenant, and how many were left out is told by the next of its lines (``left_out``).
    """

    def __init__(
        self, path: Path | None = None, *, full: int = _FULL, kept: int = _KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._path = path
        self._full = full
        self._kept = kept
        self._clock = clock
        self._rooms: OrderedDict[str, _Room] = OrderedDict()
        self._file = None if path is None else _open(path)
        self._size = 0 if self._file is None else os.fstat(self._file).st_size

    def write(self, entry: Entry) -> None:
        """Write a line. A disk that is full stops the log and not the proxy."""
        if self._file is None or not self._has_room(entry):
            return
        line = {
            "time": round(time.time(), 3),
            "tenant": entry.tenant,
            "verb": entry.verb[:_LONGEST],
            "object": entry.object,
            "verdict": entry.verdict,
            "status": entry.status,
            "rule": entry.rule,
            "reason": entry.reason[:_LONGEST],
            "left_out": self._left_out(entry.tenant),
        }
        kept = {name: value for name, value in line.items() if value not in ("", 0)}
        data = json.dumps(kept, ensure_ascii=True).encode() + b"\n"
        try:
            if self._size + len(data) > self._full:
                self._turn()
            os.write(self._file, data)  # one write is one line, whoever else has the file
            self._size += len(data)
        except OSError as error:
            _LOG.warning("the audit log cannot be written", extra={"error": str(error)})

    def _turn(self) -> None:
        assert self._path is not None
        assert self._file is not None
        for number in range(self._kept, 0, -1):
            older = self._old(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._old(number))
        new = _open(self._path)
        os.close(self._file)
        self._file, self._size = new, 0

    def _old(self, number: int) -> Path:
        assert self._path is not None
        return self._path.with_name(f"{self._path.name}.{number}")

    def _has_room(self, entry: Entry) -> bool:
        if entry.is_change:
            return True
        now = self._clock()
        room = self._rooms.setdefault(entry.tenant, _Room(_BURST, now))
        self._rooms.move_to_end(entry.tenant)
        if len(self._rooms) > _TENANTS:
            self._rooms.popitem(last=False)
        room.lines = min(room.lines + (now - room.since) * _A_SECOND, _BURST)
        room.since = now
        if room.lines < 1:
            room.left_out += 1
            return False
        room.lines -= 1
        return True

    def _left_out(self, tenant: str) -> int:
        room = self._rooms.get(tenant)
        count = 0 if room is None else room.left_out
        if room is not None:
            room.left_out = 0
        return count

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
