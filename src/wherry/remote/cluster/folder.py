"""Node states in a directory that all nodes see: a local one, NFS, or a volume."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wherry.errors import EngineUnavailable, UsageError
from wherry.remote.cluster.shared import Entry, Snapshot
from wherry.remote.cluster.state import LARGEST

MOST = 10_000
"""Files that are looked at, the first ones by name: a folder of something else does not hurt."""


class Folder:
    """A directory of states. It is made when it is missing, and only we may write to it.

    Whoever can write there can name himself a node, and is sent requests with their tokens.
    """

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        # A file system that hangs takes these threads with it, and no others.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="wherry-cluster")
        self._ahead: float | None = None
        """Seconds from our monotonic clock to the clock of the file system."""

    @property
    def where(self) -> str:
        """What people call it."""
        return f"the folder {self._path}"

    async def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole; raises :class:`wherry.errors.EngineUnavailable`."""
        await self._do(lambda: self._write(name, data))

    async def read(self, *, within: float) -> Snapshot:
        """Return every regular file; raises :class:`wherry.errors.EngineUnavailable`."""
        del within  # the system has told their age and content at once
        entries: list[Entry] = []
        await self._do(lambda: entries.extend(self._entries()))
        now = time.time() if self._ahead is None else self._monotonic() + self._ahead
        return Snapshot(now=now, entries=entries)

    async def remove(self, name: str) -> None:
        """Remove a file; raises :class:`wherry.errors.EngineUnavailable`."""
        path = self._path / name
        await self._do(lambda: path.unlink(missing_ok=True))

    async def aclose(self) -> None:
        """Give up the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, act: Callable[[], None]) -> None:
        def do() -> None:
            self.make()
            act()

        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, do)
        except OSError as error:
            reason = error.strerror or str(error)
            raise EngineUnavailable(f"{self.where} cannot be used: {reason}") from error

    def make(self) -> None:
        """Make the directory, or check who else can write to the one that is there.

        Raises OSError, or :class:`wherry.errors.UsageError` for one that strangers can write to.
        """
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder") from error
        found = self._path.stat()
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & stat.S_IWOTH:
            raise UsageError(
                f"--folder: {self._path} can be written to by others, who could take over every"
                " request: it must belong to this user, with a mode such as 0700"
            )

    def _write(self, name: str, data: bytes) -> None:
        # A name that no reader takes for a state; a crash leaves one of them at most.
        partial = self._path / f".{name}.partial"
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(opened, data)
            modified = os.fstat(opened).st_mtime
        finally:
            os.close(opened)
        partial.replace(self._path / name)
        self._ahead = modified - self._monotonic()

    def _entries(self) -> Iterator[Entry]:
        names = sorted(each.name for each in self._path.iterdir() if not each.name.startswith("."))
        for name in names[:MOST]:
            entry = _entry(self._path / name)
            if entry is not None:
                yield entry


def _entry(path: Path) -> Entry | None:
    """Read the beginning of a file; a link, a pipe or a directory is nothing of ours."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is gone, or not ours to read: no state that we can use
        return None
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            return None
        return Entry(name=path.name, data=os.read(opened, LARGEST + 1), modified=found.st_mtime)
    except OSError:
        return None
    finally:
        os.close(opened)
