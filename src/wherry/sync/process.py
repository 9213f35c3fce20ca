"""A container with the manners of :class:`subprocess.Popen`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from wherry.models import CHUNK, Exit

if TYPE_CHECKING:
    from wherry.process import Process, Reader, Writer
    from wherry.sync.portal import Portal

T = TypeVar("T")


class SyncProcess:
    """A :class:`wherry.process.Process` with the methods of :class:`subprocess.Popen`.

    ``stdin``, ``stdout`` and ``stderr`` are buffered binary files, or None if they are no PIPE;
    :class:`io.TextIOWrapper` makes text of them. What is written to stdin is sent by ``flush``.
    """

    def __init__(self, portal: Portal, process: Process) -> None:
        self._portal = portal
        self._process = process
        self.stdin = _writer(portal, process.stdin)
        self.stdout = _reader(portal, process.stdout)
        self.stderr = _reader(portal, process.stderr)

    @property
    def id(self) -> str:
        """The invocation's id."""
        return self._process.id

    @property
    def args(self) -> tuple[str, ...]:
        """The command, as far as the function and the call say it."""
        return self._process.args

    @property
    def exit(self) -> Exit | None:
        """How it ended, once that is known."""
        return self._process.exit

    @property
    def returncode(self) -> int | None:
        """The exit code; see :attr:`wherry.process.Process.returncode`."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def start(self) -> None:
        """Raise :class:`UsageError`: it was started when it was made."""
        self._call(self._process.start())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code; see :meth:`Process.wait`."""
        return self._call(self._process.wait(timeout))

    def communicate(
        self,
        input: str | bytes | None = None,  # noqa: A002 - subprocess's name for it
        timeout: float | None = None,
    ) -> tuple[bytes | None, bytes | None]:
        """Send ``input`` and return stdout and stderr; see :meth:`Process.communicate`."""
        if self.stdin is not None and not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.flush()
        outputs = self._call(self._process.communicate(input, timeout=timeout))
        return (_ahead(self.stdout, outputs[0]), _ahead(self.stderr, outputs[1]))

    def send_signal(self, signal: int) -> None:
        """Send a signal; harmless after the end."""
        self._call(self._process.send_signal(signal))

    def terminate(self) -> None:
        """Ask the program to end: SIGTERM."""
        self._call(self._process.terminate())

    def kill(self) -> None:
        """End everything in the container: SIGKILL."""
        self._call(self._process.kill())

    def close(self) -> None:
        """Kill and remove the container if it still runs."""
        self._portal.finish(self._process.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End stdin and wait for the end; after an error, kill."""
        try:
            if kind is None:
                if self.stdin is not None:
                    self.stdin.close()
                self.wait()
        finally:
            self.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return self._portal.call(work)


def _ahead(file: io.BufferedReader | None, rest: bytes | None) -> bytes | None:
    """Return what the file had read ahead, and then the rest."""
    return None if file is None or rest is None else file.read() + rest


def _reader(portal: Portal, reader: Reader | None) -> io.BufferedReader | None:
    return None if reader is None else io.BufferedReader(_RawReader(portal, reader), CHUNK)


def _writer(portal: Portal, writer: Writer | None) -> io.BufferedWriter | None:
    return None if writer is None else io.BufferedWriter(_RawWriter(portal, writer), CHUNK)


class _RawReader(io.RawIOBase):
    def __init__(self, portal: Portal, reader: Reader) -> None:
        self._portal = portal
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = self._portal.call(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


class _RawWriter(io.RawIOBase):
    def __init__(self, portal: Portal, writer: Writer) -> None:
        self._portal = portal
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        return self._portal.call(self._write(bytes(data)))

    def close(self) -> None:
        if not self.closed:
            self._portal.finish(self._close())
        super().close()

    async def _write(self, data: bytes) -> int:
        self._writer.write(data)
        await self._writer.drain()
        return len(data)

    async def _close(self) -> None:
        self._writer.close()
