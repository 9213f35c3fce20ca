"""Log files of bounded size and age, in a directory of their own."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from wherry.errors import UsageError

_NAME = re.compile(r"docker-server-\d{8}T\d{6}Z-\d+-\d+\.log")
_LOOKS_EVERY = 3600.0
LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class LogFiles(logging.Handler):
    """Writes lines to one file after the other; those that are too old are removed.

    Only files of its own naming are, and only their owner reads them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_size: int,
        expiry: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raise :class:`UsageError` for a folder that cannot be written to."""
        super().__init__()
        self._folder = folder
        self._max_size = max_size
        self._expiry = expiry
        self._clock = clock
        self._number = 0
        self._size = 0
        self._looked = clock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self._begin()
        except FileExistsError as error:
            raise UsageError(f"--log_folder: {folder}: it is a file, not a folder") from error
        except OSError as error:
            raise UsageError(f"--log_folder: {folder}: {error.strerror}") from error
        self.expire()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; what cannot be written is told on stderr, once in a while."""
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
            if self._size and self._size + len(line) > self._max_size:
                full, self._file = self._file, self._begin()
                full.close()
                self.expire()
            self._file.write(line)
            self._size += len(line)
            if self._clock() - self._looked > _LOOKS_EVERY:
                self.expire()
        except (OSError, ValueError):
            self.handleError(record)

    def expire(self) -> None:
        """Remove the files that were written to last too long ago."""
        self._looked = self._clock()
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name) and path != Path(self._file.name):
                with suppress(OSError):
                    if path.stat(follow_symlinks=False).st_mtime < self._looked - self._expiry:
                        path.unlink()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _begin(self) -> IO[bytes]:
        while True:
            self._number += 1
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
            path = self._folder / f"docker-server-{stamp}-{os.getpid()}-{self._number}.log"
            try:
                file = open(path, "xb", buffering=0, opener=_private)  # noqa: SIM115 - kept
            except FileExistsError:
                continue  # in a container every server is process 1, also one within a second
            self._size = 0
            return file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
