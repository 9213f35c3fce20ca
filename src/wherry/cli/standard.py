"""Our own standard streams, as the caller left them."""

from __future__ import annotations

import errno
import os
import select
import sys

STDIN, STDOUT, STDERR = 0, 1, 2
_INSTEAD = {STDIN: os.O_RDONLY, STDOUT: os.O_RDONLY, STDERR: os.O_RDWR}
"""A closed stdin reads as empty; writing to a closed stdout fails, as it does in any program."""


def reserve() -> None:
    """Put something in the place of a closed stream, so that no file of ours gets its number."""
    for fd, flags in _INSTEAD.items():
        try:
            os.fstat(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            _open_at(fd, flags)
    if sys.stderr is None:
        # It was closed when we were started: what we have to say goes nowhere.
        sys.stderr = os.fdopen(STDERR, "w", closefd=False)


def emit(text: str) -> None:
    """Write what was asked for to stdout."""
    _write(STDOUT, text.encode(errors="surrogateescape"))


def say(text: str) -> None:
    """Write a line of our own words to stderr; a reader that is gone is no error."""
    try:
        _write(STDERR, text.encode(errors="backslashreplace") + b"\n")
    except OSError:
        return


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # whoever shares it with us made it non-blocking
            select.select([], [fd], [])


def _open_at(fd: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != fd:
        os.dup2(opened, fd)
        os.close(opened)
