"""Lines of stderr: how bytes become lines, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 16 * 1024
"""Bytes of a line; what is longer goes on in the next one."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a call of a function wrote."""

    name: str
    namespace: str
    instance: str
    """The id of the call."""
    timestamp: float
    """Unix time."""
    text: str
    """Without the end of the line."""


class Lines:
    """Cuts the bytes of one stream into lines; holds one incomplete line and no more."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[str]:
        """Take some bytes, and return the lines that are complete now."""
        *whole, rest = (self._held + data).split(b"\n")
        lines = [piece for line in whole for piece in _pieces(line.removesuffix(b"\r"))]
        *full, self._held = _pieces(rest)
        return [piece.decode(errors="replace") for piece in lines + full]

    def rest(self) -> str:
        """Return what came after the end of the last line."""
        held, self._held = self._held, b""
        return held.decode(errors="replace")


def _pieces(line: bytes) -> list[bytes]:
    pieces = []
    while len(line) > LONGEST:
        cut = LONGEST
        while cut > LONGEST - 4 and line[cut] & 0xC0 == 0x80:  # not within a character
            cut -= 1
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]
