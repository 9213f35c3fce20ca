"""Telling a program that could not be started from one that ran and failed."""

from __future__ import annotations

import re

from wherry.errors import ProgramNotExecutable, ProgramNotFound, StartError

_INIT_BEGINNING = b"[FATAL tini ("
_LONGEST = 8192
_INIT = re.compile(
    rb"\[FATAL tini \(\d+\)\] exec (?P<program>.*) failed: (?P<why>[^:\n]*)\n\Z", re.DOTALL
)
_RUNTIME = re.compile(r'exec: "(?P<program>.*?)":(?:.*:)? (?P<why>[^:]*)$', re.DOTALL)
_NOT_FOUND = ("executable file not found", "no such file or directory")
_NOT_EXECUTABLE = ("permission denied", "exec format error", "is a directory")
_FAILED_TO_START = frozenset({1, 126, 127})


class Complaint:
    """Holds back the beginning of stderr for as long as it may be the init's complaint.

    The container's init (``HostConfig.Init``) executes the program, so the engine has started
    the container by the time it is known that there is none. The init says so on stderr, as the
    only thing that is ever said there, and exits with 127, 126 or 1.
    """

    def __init__(self) -> None:
        self._held = b""
        self._decided = False

    def hold(self, data: bytes) -> bytes:
        """Take what was read; return what is certainly the program's."""
        if self._decided:
            return data
        self._held += data
        start = self._held[: len(_INIT_BEGINNING)]
        if len(self._held) < _LONGEST and _INIT_BEGINNING.startswith(start):
            return b""
        return self.release()

    @property
    def holds(self) -> bool:
        """Whether anything may still be the init's."""
        return bool(self._held)

    def release(self) -> bytes:
        """Return what was held: it was the program's own."""
        self._decided = True
        held, self._held = self._held, b""
        return held

    def error(self, code: int, *, program: str) -> StartError | None:
        """Return why the program could not be started, None when it could."""
        if code not in _FAILED_TO_START:
            return None
        match = _INIT.match(self._held)
        if match is None:
            return None
        if match["program"].decode(errors="replace") != program:
            return None
        return not_executed(program, match["why"].decode(errors="replace"))


def start_error(reason: str) -> StartError | None:
    """Read the engine's refusal to start a container; None when it is not about the program."""
    match = _RUNTIME.search(reason.removesuffix(": unknown"))
    if match is not None and any(words in reason for words in (*_NOT_FOUND, *_NOT_EXECUTABLE)):
        return not_executed(match["program"], match["why"])
    if "unable to find user" in reason or "unable to find group" in reason:
        return StartError(f"the container cannot be started: {reason}")
    return None


def not_executed(program: str, why: str) -> StartError:
    """Make the error for a program that could not be executed, of the words of who tried."""
    if any(words in why.lower() for words in _NOT_FOUND):
        return ProgramNotFound(
            f"the image has no program {program!r}, or what it names to run it with"
        )
    return ProgramNotExecutable(f"{program!r} cannot be executed in the image: {why}")
