"""A command at a terminal of its own: what it shows, what is typed."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.support.shell import Shell


class Terminal:
    """Runs a shell script as the foreground of a pseudo-terminal (stdin, stdout, stderr)."""

    def __init__(self, sh: Shell, script: str) -> None:
        self.shown = b""
        self.code: int | None = None
        """As a shell has it: 128+N for a signal."""
        argv = sh.argv(script)
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(sh.home)
            os.execve(argv[0], argv, sh.environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGHUP)
            self.wait()
        os.close(self._fd)

    def type(self, text: str) -> None:
        """Type; ``\\x03`` is Ctrl-C."""
        os.write(self._fd, text.encode())

    def read_until(self, text: str, *, timeout: float = 30) -> None:
        """Wait until something is shown; fails with all that was shown."""
        deadline = time.monotonic() + timeout
        while text.encode() not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(deadline - time.monotonic()), self.shown

    def wait(self, *, timeout: float = 30) -> int:
        """Read until the end; return the exit code."""
        deadline = time.monotonic() + timeout
        while self._read(max(0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, self.shown
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self.code = 128 - code if code < 0 else code
        return self.code

    def _read(self, timeout: float) -> bool:
        if not select.select([self._fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.shown += data
        return bool(data)
