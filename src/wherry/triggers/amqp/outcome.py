"""What came of a message: its result, and what becomes of it on the queue."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from wherry.errors import EngineError, UsageError

if TYPE_CHECKING:
    from wherry.models import Exit

Fate = Literal["ack", "requeue", "reject"]
FATES: tuple[Fate, ...] = get_args(Fate)
TEMPORARY = 75
"""The exit code by which programs say that a later try may do better (sysexits)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one try."""

    fate: Fate
    operation: str
    """``run``, ``stop``, ``remove``, ``invoke``, or empty for what could not be read."""
    reason: str = ""
    """Why it is not ``ack``."""
    container: str = ""
    exit: Exit | None = None
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    truncated: bool = False
    """Whether output was dropped."""
    streams: bool = False
    """Whether the streams are the result, and not the container's id."""
    attempt: int = 1

    def tried(self, attempt: int) -> Outcome:
        """Return the same as that try's."""
        return replace(self, attempt=attempt)

    def document(self, *, message_id: str | None) -> dict[str, Any]:
        """Return the result as what is sent as JSON."""
        ended = self.exit
        return {
            "message_id": message_id,
            "operation": self.operation,
            "ok": self.fate == "ack",
            "error": self.reason or None,
            "container": self.container or None,
            "exit_code": ended.code if ended else None,
            "exit_reason": ended.reason if ended else None,
            **_text("stdout", self.stdout),
            **_text("stderr", self.stderr),
            "truncated": self.truncated,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCodes:
    """What becomes of a message by its program's exit code."""

    codes: Mapping[int, Fate] = field(default_factory=lambda: {0: "ack", TEMPORARY: "requeue"})
    other: Fate = "reject"
    """For the codes that are not named, and for the death by a signal, limit or timeout."""

    def fate(self, ended: Exit) -> Fate:
        """Return what becomes of it."""
        if ended.reason != "exited" or ended.code is None:
            return self.other if self.other != "ack" else "reject"
        return self.codes.get(ended.code, self.other)


def exit_codes(words: list[str], *, other: str | None) -> ExitCodes:
    """Read ``CODE[,CODE…]=FATE``; raises :class:`UsageError`."""
    codes = dict(ExitCodes().codes)
    for word in words:
        left, _, right = word.partition("=")
        numbers = left.split(",")
        if not all(each.isascii() and each.isdigit() and int(each) < 256 for each in numbers):
            raise UsageError(f"--exit: {word!r} must be CODE[,CODE…]=FATE, such as 3,4=requeue")
        codes.update(dict.fromkeys(map(int, numbers), _fate(right, "--exit")))
    usual = ExitCodes()
    return ExitCodes(codes=codes, other=_fate(other, "--exit-other") if other else usual.other)


def failed(error: BaseException, *, operation: str) -> Outcome:
    """Return the outcome of what never ran: only the engine's own failures may go away."""
    fate: Fate = "requeue" if isinstance(error, EngineError) else "reject"
    if getattr(error, "status", 500) < 500:  # the engine understood, and will say no again
        fate = "reject"
    return Outcome(fate=fate, operation=operation, reason=str(error) or type(error).__name__)


def dumps(document: Mapping[str, Any]) -> bytes:
    """Return one line of JSON."""
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def _fate(text: str, name: str) -> Fate:
    if text not in FATES:
        raise UsageError(f"{name}: {text!r} must be {', '.join(FATES[:-1])} or {FATES[-1]}")
    return text


def _text(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
