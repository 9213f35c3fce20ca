"""Files into a container before its start, and out of it after its end, as tar archives."""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from wherry.errors import EngineError, UsageError
from wherry.models import CHUNK, Collect, File

_BLOCK = tarfile.BLOCKSIZE
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64
_PER_FILE = 4096
"""Bytes of headers that one entry may cost in an archive, on average."""


async def pack(files: Iterable[File], *, base: str, open_base: bool) -> AsyncIterator[bytes]:
    """Yield an archive of the files, with names relative to ``base``.

    ``open_base`` lets every user write to ``base`` itself, as to a /tmp. Files of the host are
    read as they are sent. Raises UsageError when one cannot be read, or changes meanwhile.
    """
    if open_base:
        root = tarfile.TarInfo("./")
        root.type, root.mode = tarfile.DIRTYPE, 0o1777
        yield root.tobuf(tarfile.PAX_FORMAT)
    for file in files:
        entry = tarfile.TarInfo(str(PurePosixPath(file.target).relative_to(base)))
        entry.mode = file.mode
        if file.data is not None:
            entry.size = len(file.data)
            yield entry.tobuf(tarfile.PAX_FORMAT)
            yield file.data + _padding(entry.size)
        else:
            async for chunk in _from_host(file, entry):
                yield chunk
    yield bytes(2 * _BLOCK)


async def _from_host(file: File, entry: tarfile.TarInfo) -> AsyncIterator[bytes]:
    assert file.source is not None
    try:
        source = await asyncio.to_thread(Path(file.source).open, "rb")
    except OSError as error:
        raise UsageError(f"{file.target!r}: {file.source!r} cannot be read: {error}") from error
    with source:
        entry.size = os.fstat(source.fileno()).st_size
        yield entry.tobuf(tarfile.PAX_FORMAT)
        left = entry.size
        while left:
            data = await asyncio.to_thread(source.read, min(CHUNK, left))
            if not data:
                raise UsageError(f"{file.target!r}: {file.source!r} shrank while it was read")
            left -= len(data)
            yield data
        yield _padding(entry.size)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


async def unpack(archive: AsyncIterable[bytes], collect: Collect) -> None:
    """Copy an archive of ``GET /containers/ID/archive`` to where it is wanted.

    A directory's content lands in ``collect.to``, a file under its own name. Symlinks and
    devices stay behind: none means anything out here. Raises UsageError when there is more than
    allowed, EngineError for what is no archive. Nothing is written outside of ``collect.to``.
    """
    most = collect.max_bytes + _PER_FILE * (collect.max_files + 4)
    with tempfile.TemporaryFile() as spool:
        size = 0
        async for chunk in archive:
            size += len(chunk)
            if size > most:
                _refuse(collect, f"more than {collect.max_bytes} bytes (max_bytes)")
            await asyncio.to_thread(spool.write, chunk)
        spool.seek(0)
        await asyncio.to_thread(_extract, spool, collect)


def _extract(spool: IO[bytes], collect: Collect) -> None:
    try:
        with tarfile.open(fileobj=spool, mode="r:") as tar, ExitStack() as stack:
            Path(collect.to).mkdir(parents=True, exist_ok=True)
            root = os.open(collect.to, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, root)
            _Extraction(tar, collect, root).run()
    except tarfile.TarError as error:
        raise EngineError(f"collect {collect.path!r}: the engine sent no archive") from error
    except OSError as error:
        raise UsageError(f"collect {collect.path!r} to {collect.to!r}: {error}") from error


@dataclass(slots=True)
class _Extraction:
    tar: tarfile.TarFile
    collect: Collect
    root: int
    bytes: int = 0
    files: int = 0

    def run(self) -> None:
        """Every name begins with what was asked for: the directory itself, or the one file."""
        for entry in self.tar:
            parts = PurePosixPath(entry.name).parts
            if not (entry.isreg() or entry.isdir()):
                continue
            if ".." in parts or PurePosixPath(entry.name).is_absolute() or len(parts) > _DEEPEST:
                _refuse(self.collect, f"a path that is not safe: {entry.name!r}")
            inner = parts[1:] if len(parts) > 1 else () if entry.isdir() else parts
            if inner:
                self._count(entry)
                self._place(entry, inner)

    def _count(self, entry: tarfile.TarInfo) -> None:
        self.files += 1
        self.bytes += entry.size if entry.isreg() else 0
        if self.files > self.collect.max_files:
            _refuse(self.collect, f"more than {self.collect.max_files} files (max_files)")
        if self.bytes > self.collect.max_bytes:
            _refuse(self.collect, f"more than {self.collect.max_bytes} bytes (max_bytes)")

    def _place(self, entry: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        with ExitStack() as stack:
            directory = self.root
            for part in parts if entry.isdir() else parts[:-1]:
                directory = _enter(part, directory, stack.callback)
            if not entry.isdir():
                self._copy(entry, parts[-1], directory)

    def _copy(self, entry: tarfile.TarInfo, name: str, directory: int) -> None:
        # A new file each time: what stands there may be a link to somewhere else.
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        mode = 0o755 if entry.mode & 0o100 else 0o644
        data = self.tar.extractfile(entry)
        assert data is not None
        with open(os.open(name, _NEW, mode, dir_fd=directory), "wb") as copy:  # noqa: PTH123
            while block := data.read(1 << 20):
                copy.write(block)


def _enter(name: str, directory: int, at_end: Callable[..., object]) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=directory)
    entered = os.open(name, _DIRECTORY, dir_fd=directory)
    at_end(os.close, entered)
    return entered


def _refuse(collect: Collect, what: str) -> None:
    raise UsageError(f"collect {collect.path!r}: the program left {what}")
