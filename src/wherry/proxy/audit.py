"""Who asked for what, and what became of it: one JSON object a line."""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wherry.web.linefile import FULL, KEPT, LineFile

_LOG = logging.getLogger(__name__)
_LONGEST = 300
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

    The file is bounded (:class:`wherry.web.linefile.LineFile`), so that what a tenant asks for
    cannot fill the disk. Nor can it push out what it has done by
    asking for more: of requests that changed nothing 2000 at once and 50 in a second are written
    for each tenant, and how many were left out is told by the next of its lines (``left_out``).
    """

    def __init__(
        self, path: Path | None = None, *, full: int = FULL, kept: int = KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._rooms: OrderedDict[str, _Room] = OrderedDict()
        self._file: LineFile | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = LineFile(path, full=full, kept=kept)

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
            self._file.write(data)
        except OSError as error:
            _LOG.warning("the audit log cannot be written", extra={"error": str(error)})

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
            self._file.close()
            self._file = None
