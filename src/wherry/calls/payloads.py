"""Bodies and results: small ones go into the database, large ones are files beside it."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wherry.calls.model import INLINE
from wherry.errors import EngineError
from wherry.images.files import sync_directory
from wherry.images.threads import in_thread
from wherry.models import CHUNK

if TYPE_CHECKING:
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes that are kept: here, or in a file of that name."""

    size: int
    data: bytes | None = field(default=None, repr=False)
    file: str | None = None


class Spool:
    """Takes in bytes as they come, at most 64 KiB of them in memory.

    Leaving its block without :meth:`finish` removes what was taken in.
    """

    def __init__(self, directory: Path, *, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix
        self._path = directory
        self._data = bytearray()
        self._written = 0
        self._file: FileIO | None = None
        self._kept = False
        self.size = 0
        """Bytes so far."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            await in_thread(self._leave, self._file)

    async def write(self, data: bytes) -> None:
        """Take some bytes. Raises :class:`EngineError` when the disk does not."""
        self.size += len(data)
        self._data += data
        if len(self._data) > INLINE:
            await in_thread(self._flush)

    async def finish(self) -> Payload:
        """Return what was taken in; a file is on the disk then, with its name."""
        if self._file is None:
            self._kept = True
            return Payload(self.size, data=bytes(self._data))
        await in_thread(self._sync, self._file)
        self._kept = True
        return Payload(self.size, file=self._path.name)

    def _flush(self) -> None:
        try:
            if self._file is None:
                self._path = self._directory / f"{self._prefix}{secrets.token_hex(12)}"
                self._file = _create(self._path)
            self._file.truncate(self._written)  # what is there of a write that failed
            self._file.seek(self._written)
            _write_all(self._file, bytes(self._data))
        except OSError as error:
            raise EngineError(f"{self._path}: cannot write it: {error.strerror}") from error
        self._written += len(self._data)
        self._data.clear()

    def _sync(self, file: FileIO) -> None:
        self._flush()
        try:
            os.fsync(file.fileno())
            sync_directory(self._path.parent)
        except OSError as error:
            raise EngineError(f"{self._path}: cannot write it: {error.strerror}") from error

    def _leave(self, file: FileIO) -> None:
        file.close()
        if not self._kept:
            self._path.unlink(missing_ok=True)


class PayloadFiles:
    """The directory of payloads. A file's name begins with the owner that wrote it."""

    def __init__(self, directory: Path, *, owner: str) -> None:
        self._directory = directory
        self._owner = owner
        directory.mkdir(mode=0o700, exist_ok=True)

    def spool(self) -> Spool:
        """Return a new payload to be written."""
        return Spool(self._directory, prefix=f"{self._owner}-")

    async def chunks(self, payload: Payload) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a payload. Raises :class:`EngineError` when its file is gone."""
        if payload.file is None:
            if payload.data:
                yield payload.data
            return
        path = self._directory / payload.file
        try:
            file = await in_thread(path.open, "rb", buffering=0)
        except OSError as error:
            raise EngineError(f"{path}: cannot read it: {error.strerror}") from error
        with file:
            while chunk := await in_thread(file.read, CHUNK):
                yield chunk

    async def remove(self, files: Iterable[str]) -> None:
        """Remove files that no record names any more."""
        if paths := [self._directory / name for name in files]:
            await in_thread(_remove, paths)

    def left_behind(self, alive: Callable[[str], bool]) -> list[str]:
        """Return the files of owners that are not alive: no record names those it never will."""
        names = [path.name for path in self._directory.iterdir()]
        owners = {name.partition("-")[0] for name in names}
        dead = {owner for owner in owners if owner != self._owner and not alive(owner)}
        return [name for name in names if name.partition("-")[0] in dead]


async def keep(spool: Spool, source: AsyncIterable[bytes]) -> None:
    """Write all of a source."""
    async for chunk in source:
        await spool.write(chunk)


def _create(path: Path) -> FileIO:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    return FileIO(descriptor, "wb")


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
