"""Bytes that were read ahead of whoever will want them."""

from __future__ import annotations

from collections import deque
from typing import IO

from wherry.models import CHUNK

IN_MEMORY = 1024 * 1024
"""Bytes of a spool that are kept in memory; what comes on top waits in a temporary file."""


class Spool:
    """First in, first out, of any size and in little memory.

    The file is written and read in the event loop: it is the page cache for as long as there is
    memory, and a stream that is ignored is the exception.
    """

    def __init__(self, limit: int = IN_MEMORY) -> None:
        self._file: IO[bytes] | None = None
        self.limit = limit
        self._chunks: deque[bytes] = deque()
        self._in_memory = 0
        self._in_file = 0
        self._read_at = 0

    def __len__(self) -> int:
        return self._in_memory + self._in_file

    def put(self, data: bytes) -> None:
        """Append some bytes."""
        if not self._in_file and self._in_memory + len(data) <= self.limit:
            self._chunks.append(data)
            self._in_memory += len(data)
            return
        if self._file is None:
            import tempfile

            self._file = tempfile.TemporaryFile(prefix="wherry-")  # noqa: SIM115 - see __del__
        self._file.seek(0, 2)
        self._file.write(data)
        self._in_file += len(data)

    def take(self) -> bytes:
        """Return what came first, 64 KiB or so; ``b""`` when nothing is there."""
        if self._chunks:
            data = self._chunks.popleft()
            self._in_memory -= len(data)
            return data
        if self._file is None or not self._in_file:
            return b""
        self._file.seek(self._read_at)
        data = self._file.read(CHUNK)
        self._read_at += len(data)
        self._in_file -= len(data)
        if not self._in_file:
            self._file.truncate(0)
            self._read_at = 0
        return data

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()
