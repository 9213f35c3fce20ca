"""Telling bubblewrap's own complaints from what the program writes to stderr.

Both share the descriptor. A complaint is the last thing a sandbox says, before any program was
started; so a first line that looks like one is held back until it is known which it was.
"""

from __future__ import annotations

import re

from wherry.errors import (
    EngineError,
    ProgramNotExecutable,
    ProgramNotFound,
    UsageError,
    WherryError,
)

_BEGINNINGS = (b"bwrap: ", b"wherry-launcher: ")
_LONGEST = 8192
_CHDIR = re.compile(rb"bwrap: Can't chdir to (?P<path>.*): (?P<reason>[^:]*)\s*\Z", re.DOTALL)
_EXEC = re.compile(rb"bwrap: execvp (?P<program>.*): (?P<reason>[^:]*)\s*\Z", re.DOTALL)


class Complaint:
    """Holds back the beginning of stderr for as long as it may be a complaint."""

    def __init__(self) -> None:
        self._held = b""
        self._decided = False

    def hold(self, data: bytes | None) -> bytes | None:
        """Take what was read (b"" at the end); return what is certainly the program's."""
        if self._decided or data is None:
            return data
        if data == b"":
            return b""
        self._held += data
        if len(self._held) < _LONGEST and self._held.startswith(_BEGINNINGS):
            return None
        self._decided = True
        held, self._held = self._held, b""
        return held

    def release(self) -> bytes:
        """Return what was held: the program has run, so it was its own."""
        held, self._held = self._held, b""
        return held

    def error(self, id: str) -> WherryError:  # noqa: A002
        """Return what the complaint means for the caller."""
        text = self._held.decode(errors="replace").strip()
        if match := _EXEC.match(self._held):
            program = match["program"].decode(errors="replace")
            reason = match["reason"].decode(errors="replace").strip()
            if reason == "No such file or directory":
                return ProgramNotFound(
                    f"the image has no program {program!r}, or what it names to run it with"
                )
            return ProgramNotExecutable(f"{program!r} cannot be executed in the image: {reason}")
        if match := _CHDIR.match(self._held):
            path, reason = (match[name].decode(errors="replace") for name in ("path", "reason"))
            return UsageError(f"workdir {path!r} cannot be entered: {reason.strip()}")
        return EngineError(f"container {id} could not be set up: {text or 'no reason was given'}")
