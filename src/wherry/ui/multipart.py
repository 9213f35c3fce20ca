"""``multipart/form-data`` (RFC 7578), read as it comes: no part is held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from wherry.errors import UsageError

_MOST_HEAD = 8 * 1024
_MOST_PARTS = 200


@dataclass(frozen=True, slots=True)
class Part:
    """What is said of a part before its content."""

    name: str
    filename: str | None
    """None: a field. Empty: a file that was not chosen."""


class Multipart:
    """Cuts the bytes of a form into its parts; holds one head and no more."""

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= 200 or not boundary.isascii():
            raise UsageError("Content-Type: it names no boundary of the form's parts")
        self._mark = b"\r\n--" + boundary.encode()
        self._held = b"\r\n"  # the first boundary has no line before it
        self._part: Part | None = None
        self._parts = 0
        self._ended = False

    def feed(self, data: bytes) -> Iterator[tuple[Part, bytes]]:
        """Take some bytes; yield pieces of parts. A part yields one piece at least.

        Raises :class:`UsageError` for what is no form.
        """
        self._held += data
        while not self._ended:
            at = self._held.find(self._mark)
            if at < 0:
                yield from self._piece(max(0, len(self._held) - len(self._mark) + 1))
                return
            if not self._has_head(at):
                yield from self._piece(at)
                return
            yield from self._piece(at)
            self._open()
            if self._part is not None:
                yield self._part, b""
        self._held = b""

    def check_end(self) -> None:
        """Raise :class:`UsageError` when the form broke off."""
        if not self._ended:
            raise UsageError("the form: it broke off before its end")

    def _piece(self, length: int) -> Iterator[tuple[Part, bytes]]:
        data, self._held = self._held[:length], self._held[length:]
        if data and self._part is not None:
            yield self._part, data

    def _has_head(self, at: int) -> bool:
        """Whether what follows a boundary is there: two dashes, or a whole head."""
        behind = self._held[at + len(self._mark) :]
        if behind.startswith(b"--") or b"\r\n\r\n" in behind:
            return True
        if len(behind) > _MOST_HEAD:
            raise UsageError("the form: the head of a part does not end")
        return False

    def _open(self) -> None:
        behind = self._held[len(self._mark) :]
        if behind.startswith(b"--"):
            self._ended, self._part = True, None
            return
        head, _, self._held = behind.partition(b"\r\n\r\n")
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise UsageError(f"the form: more than {_MOST_PARTS} parts are too many")
        self._part = _part(head)


def _part(head: bytes) -> Part:
    for line in head.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() != "content-disposition":
            continue
        message = Message()
        message["content-disposition"] = " ".join(value.split())
        field = message.get_param("name", header="content-disposition")
        filename = message.get_param("filename", header="content-disposition")
        if isinstance(field, str):
            return Part(field, filename if isinstance(filename, str) else None)
    raise UsageError("the form: a part has no name")
