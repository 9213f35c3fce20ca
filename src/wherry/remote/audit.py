"""Who did what to which container, a line of JSON each: no bodies, no secrets."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wherry.errors import UsageError
from wherry.web.linefile import LineFile

Verdict = Literal["allowed", "denied", "failed"]
_log = logging.getLogger(__name__)
_TEXT = 256
"""Characters of what a client chose (a name, an image) that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that somebody did, or was not allowed to do."""

    token: str
    """By its name."""
    address: str
    """Where the request came from."""
    verb: str
    """``list``, ``logs``, ``run``, ``exec``, ``remove``, ``pull``, ``inspect``; of our own engine
    ``call``, ``kill``, ``end``, ``prepare``."""
    verdict: Verdict
    container: str | None = None
    """Its full id, where one is known; else what the request calls it."""
    image: str | None = None
    reason: str | None = None
    """What was not allowed: the field alone, never the value."""
    seconds: float | None = None


class Audit:
    """Appends deeds to a bounded file that only its owner reads; without a path it keeps none."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        """Raise UsageError when the file cannot be written."""
        self._clock = clock
        self._file: LineFile | None = None
        if path is not None:
            try:
                self._file = LineFile(path)
            except OSError as error:
                raise UsageError(f"audit log {path}: it cannot be written: {error}") from error

    def note(self, deed: Deed) -> None:
        """Write one line, at once; a disk that is full is logged, and stops nothing."""
        if self._file is None:
            return
        try:
            self._file.write(self._line(deed))
        except OSError as error:
            _log.error("the audit log cannot be written", extra={"reason": str(error)})

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, deed: Deed) -> bytes:
        now = self._clock()
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{now % 1:.3f}"[2:]
            + "Z"
        }  # fmt: skip
        for name in ("token", "address", "verb", "verdict", "container", "image", "reason"):
            if (value := getattr(deed, name)) is not None:
                line[name] = str(value)[:_TEXT]
        if deed.seconds is not None:
            line["seconds"] = round(deed.seconds, 3)
        return json.dumps(line).encode() + b"\n"
