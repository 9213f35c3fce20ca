"""The head of a CGI program's answer: header lines up to the first empty one.

RFC 3875, section 6: https://www.rfc-editor.org/rfc/rfc3875#section-6
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wherry.errors import WherryError

MAX_HEAD = 32 * 1024
"""Bytes that the header lines may be."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS = re.compile(r"([2-5][0-9]{2})(?:\s.*)?")
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade"}
)  # fmt: skip
_BODILESS = frozenset({204, 304})


class BadAnswer(WherryError):
    """What the program wrote is no CGI answer; the message says why, for the answer's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the header lines come to."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """As they are sent on: ``Status`` and what is between two hops only is left out."""
    redirect: str | None = None
    """The path on this server that is answered in place of this one."""
    length: int | None = None
    """Bytes of the body, where the program says it."""

    @property
    def has_body(self) -> bool:
        """Whether a body may follow at all."""
        return self.status not in _BODILESS


class HeadReader:
    """Takes what the program writes until its head is complete."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Return the head and the first bytes of the body, None while the head goes on.

        Raises :class:`BadAnswer` for a head that is too long or makes no sense.
        """
        searched = max(0, len(self._data) - 2)
        self._data += data
        end = _end_of(self._data, searched)
        if (len(self._data) if end is None else end[0]) > MAX_HEAD:
            raise BadAnswer(f"the header lines are more than {MAX_HEAD // 1024} KiB")
        if end is None:
            return None
        head = parse(bytes(self._data[: end[0]]))
        return head, bytes(self._data[end[1] :])

    def finish(self) -> BadAnswer:
        """Return what is to be said of a program that has ended without a complete head."""
        if not self._data:
            return BadAnswer("the program wrote no header lines")
        return BadAnswer("no empty line ends the header lines")


def _end_of(data: bytearray, start: int) -> tuple[int, int] | None:
    """Return where the header lines end and where the body begins."""
    if data.startswith((b"\n", b"\r\n")):
        return 0, data.index(b"\n") + 1
    found = re.compile(rb"\n\r?\n").search(data, start)
    return (found.start() + 1, found.end()) if found else None


def parse(data: bytes) -> Head:
    """Read header lines, LF or CRLF; raises :class:`BadAnswer`."""
    fields = [_field(line) for line in data.replace(b"\r\n", b"\n").split(b"\n") if line]
    said = {name.lower(): value for name, value in reversed(fields)}
    status, location = said.get("status"), said.get("location")
    if status is None and location is None and "content-type" not in said:
        raise BadAnswer("the header lines have neither Status nor Content-Type nor Location")
    return Head(
        status=_status(status, has_location=location is not None),
        headers=tuple(
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in fields
            if name.lower() not in {"status", *_HOP_BY_HOP}
        ),
        redirect=location if status is None and _is_path(location) else None,
        length=_length(said.get("content-length")),
    )


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    name = name.rstrip(b" \t") if colon else b""
    if not _TOKEN.fullmatch(name):
        raise BadAnswer(f"{_shown(line)} is no header line")
    value = value.strip(b" \t")
    if b"\0" in value or b"\r" in value:
        raise BadAnswer(f"{_shown(line)} holds a NUL or a carriage return")
    return name.decode(), value.decode("latin-1")


def _status(text: str | None, *, has_location: bool) -> int:
    if text is None:
        return 302 if has_location else 200
    found = _STATUS.fullmatch(text)
    if found is None:
        raise BadAnswer(f"Status: {text[:80]!r} is no status from 200 to 599")
    return int(found[1])


def _is_path(location: str | None) -> bool:
    """Whether it is a path of this server; two slashes would begin another server's name."""
    return location is not None and location.startswith("/") and not location.startswith("//")


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadAnswer(f"Content-Length: {text[:80]!r} is no number of bytes")
    return int(text)


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("latin-1"))
