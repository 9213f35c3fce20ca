"""What comes out of a container, collected."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.models import Exit, Output

if TYPE_CHECKING:
    from wherry.engines.base import Container

STDERR_TAIL = 1024 * 1024
"""Bytes: how much of the end of stderr a collected call keeps."""


class Decoder:
    """UTF-8 to text, however the bytes are cut; what is no UTF-8 becomes U+FFFD."""

    def __init__(self, encoding: str = "utf-8", errors: str = "replace") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    def feed(self, data: bytes) -> str:
        """Return the text that is complete by now."""
        return self._decoder.decode(data)

    def finish(self) -> str:
        """Return what an unfinished character at the very end comes to."""
        return self._decoder.decode(b"", final=True)


class Tail:
    """The last bytes of a stream of any length, in at most three times their size."""

    def __init__(self, limit: int = STDERR_TAIL) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.truncated = False
        """Whether anything was dropped."""

    def add(self, data: bytes) -> None:
        """Append, and forget what is too old."""
        self._kept += data[-self._limit :]
        self.truncated = self.truncated or len(data) > self._limit
        if len(self._kept) > 2 * self._limit:
            self._trim()

    def value(self) -> bytes:
        """Return the bytes that are kept."""
        self._trim()
        return bytes(self._kept)

    def _trim(self) -> None:
        if (excess := len(self._kept) - self._limit) > 0:
            del self._kept[:excess]
            self.truncated = True


@dataclass(frozen=True, slots=True)
class Collected:
    """Everything a container said."""

    exit: Exit
    stdout: bytes
    stderr: bytes
    stderr_truncated: bool


async def collect(container: Container, *, stderr_limit: int = STDERR_TAIL) -> Collected:
    """Read a container to its end: all of stdout, and the last bytes of stderr.

    Raises :class:`EngineError` when the events stop without an :class:`Exit`.
    """
    stdout: list[bytes] = []
    stderr = Tail(stderr_limit)
    async for event in container:
        match event:
            case Output("stdout", data):
                stdout.append(data)
            case Output("stderr", data):
                stderr.add(data)
            case Exit() as ended:
                return Collected(ended, b"".join(stdout), stderr.value(), stderr.truncated)
    raise EngineError(f"the events of container {container.id} ended without an exit")
