"""Who asked for what, and what became of it: one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_LOG = logging.getLogger(__name__)
_LONGEST = 300
_FULL = 64 * 1024 * 1024

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


class Audit:
    """A file of lines; without one they go nowhere.

    When it is full it becomes ``NAME.1``, in place of the one before, so that what a tenant asks
    for cannot fill the disk.
    """

    def __init__(self, path: Path | None = None, *, full: int = _FULL) -> None:
        self._path = path
        self._full = full
        self._file = None if path is None else _open(path)
        self._size = 0 if self._file is None else os.fstat(self._file).st_size

    def write(self, entry: Entry) -> None:
        """Write a line. A disk that is full stops the log and not the proxy."""
        line = {
            "time": round(time.time(), 3),
            "tenant": entry.tenant,
            "verb": entry.verb[:_LONGEST],
            "object": entry.object,
            "verdict": entry.verdict,
            "status": entry.status,
            "rule": entry.rule,
            "reason": entry.reason[:_LONGEST],
        }
        kept = {name: value for name, value in line.items() if value not in ("", 0)}
        if self._file is None:
            return
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
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        new = _open(self._path)
        os.close(self._file)
        self._file, self._size = new, 0

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
