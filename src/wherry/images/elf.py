"""What an ELF file says about the libraries it needs; read, never run.

``ldd`` lets the file's own interpreter run, which is no way to look at a stranger's program.
Source: the System V ABI, "Object Files" and "Dynamic Linking"; elf(5).
"""

# Paths are text here: pathlib would tidy what has to stay as it is.
# ruff: noqa: PTH123
from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from wherry.errors import ImageError

_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 15, 29
_MOST = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """A program or shared library."""

    kind: tuple[int, int, int]
    """Class (32 or 64 bits), byte order and machine: what has to be the same to be linked."""
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    strings: bytes = b""
    """Names of symbols and libraries, each ended by a zero byte."""


def read_elf(path: str) -> Elf | None:
    """Read a program or library; None for any other file.

    Raises :class:`ImageError` when it is broken.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if len(head) < 52 or not head.startswith(b"\x7fELF"):
                return None
            reader = _Reader(file, head)
            return reader.read() if reader.is_linked else None
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise ImageError(f"{path!r} is a broken ELF file: {error}") from error


class _Reader:
    def __init__(self, file: IO[bytes], head: bytes) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._wide = head[4] == 2
        self._order = ">" if head[5] == 2 else "<"
        kind, machine = self._unpack("HH", head[16:20])
        self.is_linked = kind in (_ET_EXEC, _ET_DYN)
        self._kind = (head[4], head[5], machine)
        self._head = head

    def read(self) -> Elf:
        segments = list(self._segments())
        interpreter = next((self._at(o, n) for k, o, _, n in segments if k == _PT_INTERP), None)
        dynamic = next((self._at(o, n) for k, o, _, n in segments if k == _PT_DYNAMIC), b"")
        tags: dict[int, list[int]] = {}
        for tag, value in self._entries(dynamic):
            tags.setdefault(tag, []).append(value)
        strings = self._strings(tags, segments)

        def names(tag: int) -> tuple[str, ...]:
            return tuple(_text(strings, offset) for offset in tags.get(tag, []))

        return Elf(
            kind=self._kind,
            interpreter=_text(interpreter, 0) if interpreter else None,
            needed=names(_DT_NEEDED),
            rpath=_paths(names(_DT_RPATH)),
            runpath=_paths(names(_DT_RUNPATH)),
            strings=strings,
        )

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield kind, offset, address and size in the file of each program header."""
        if self._wide:
            start, size, count = (*self._unpack("Q", self._head[32:40]), *self._counts(54))
        else:
            start, size, count = (*self._unpack("I", self._head[28:32]), *self._counts(42))
        table = self._at(start, size * count)
        for at in range(0, size * count, size):
            if self._wide:
                kind, _, offset, address, _, length = self._unpack("IIQQQQ", table[at : at + 40])
            else:
                kind, offset, address, _, length = self._unpack("IIIII", table[at : at + 20])
            yield kind, offset, address, length

    def _counts(self, at: int) -> tuple[int, int]:
        size, count = self._unpack("HH", self._head[at : at + 4])
        if count and size < (40 if self._wide else 20):
            raise ValueError(f"program headers of {size} bytes")
        return size, count

    def _entries(self, dynamic: bytes) -> Iterator[tuple[int, int]]:
        form, size = ("QQ", 16) if self._wide else ("II", 8)
        for at in range(0, len(dynamic) - size + 1, size):
            tag, value = self._unpack(form, dynamic[at : at + size])
            if tag == 0:
                return
            yield tag, value

    def _strings(
        self, tags: dict[int, list[int]], segments: list[tuple[int, int, int, int]]
    ) -> bytes:
        if _DT_STRTAB not in tags:
            return b""
        address, size = tags[_DT_STRTAB][0], tags.get(_DT_STRSZ, [0])[0]
        for kind, offset, start, length in segments:
            if kind == _PT_LOAD and start <= address < start + length:
                return self._at(offset + address - start, size)
        raise ValueError("its string table is in no segment")

    def _at(self, offset: int, size: int) -> bytes:
        if offset + size > self._size or size > _MOST:
            raise ValueError(f"{size} bytes at {offset} are not in the file")
        self._file.seek(offset)
        return self._file.read(size)

    def _unpack(self, form: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self._order + form, data)


def _text(strings: bytes, offset: int) -> str:
    return os.fsdecode(strings[offset : strings.index(b"\0", offset)])


def _paths(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for name in names for part in name.split(":") if part)
