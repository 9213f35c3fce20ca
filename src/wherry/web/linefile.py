"""A file of lines that does not grow for ever: when it is full, it is kept under another name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = 64 * 1024 * 1024
KEPT = 4


class LineFile:
    """Appends whole lines to a file that only its owner reads; one process has it at a time.

    When ``full`` bytes would be exceeded it becomes ``NAME.1``, what was that ``NAME.2``, and so on
    to ``kept`` of them. Everything raises OSError.
    """

    def __init__(self, path: Path, *, full: int = FULL, kept: int = KEPT) -> None:
        """Open it, or make it."""
        self._path = path
        self._full = full
        self._kept = kept
        self._file = _open(path)
        self._size = os.fstat(self._file).st_size
        self._is_cut = False

    def write(self, line: bytes) -> None:
        """Append a line, which ends with a newline; it is not flushed to the disk."""
        data = b"\n" + line if self._is_cut else line
        if self._size + len(data) > self._full:
            self._turn()
            data = line
        written = os.write(self._file, data)
        self._size += written
        self._is_cut = written < len(data)
        if self._is_cut:  # the next one must not go on in the same line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file; nothing is written after that. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _turn(self) -> None:
        for number in range(self._kept, 0, -1):
            older = self._old(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._old(number))
        new = _open(self._path)
        os.close(self._file)
        self._file, self._size, self._is_cut = new, 0, False

    def _old(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
