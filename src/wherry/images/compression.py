"""Layers and archives as a stream of plain bytes, whatever they are compressed with.

The format is told by its first bytes, as Docker does: media types are often wrong.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Literal, Protocol

from wherry.errors import ImageCorrupt

Compression = Literal["tar", "gzip", "zstd", "bzip2", "xz"]

_IN = 128 * 1024
_OUT = 512 * 1024
_WINDOW = 1 << 27
"""Bytes of memory a zstd frame may ask for: what ``zstd -d`` allows without ``--long``."""
_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)


def sniff(file: IO[bytes]) -> Compression:
    """Tell the compression of a seekable file at its position, which does not change."""
    start = file.tell()
    head = file.read(6)
    file.seek(start)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    # A zstd file may begin with a skippable frame (0x184D2A50 to 0x184D2A5F).
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return "zstd"
    return "tar"


def decompress(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the plain bytes of a seekable file; raises :class:`ImageCorrupt` for a broken one."""
    match sniff(file):
        case "gzip":
            return _frames(file, _Gzip, zlib.error)
        case "bzip2":
            return _frames(file, bz2.BZ2Decompressor, OSError)
        case "xz":
            return _frames(file, lzma.LZMADecompressor, lzma.LZMAError)
        case "zstd":
            return _zstd(file)
        case "tar":
            return iter(lambda: file.read(_OUT), b"")


class _Decoder(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """One gzip member, with the interface of the other decompressors."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _frames(
    file: IO[bytes], new: Callable[[], _Decoder], broken: type[Exception]
) -> Iterator[bytes]:
    """Decode members that follow each other; zeros may pad the end of the file."""
    decoder = new()
    data = file.read(_IN)
    while True:
        try:
            plain = decoder.decompress(data, _OUT)
        except (broken, EOFError) as error:
            raise ImageCorrupt(f"compressed data is broken: {error}") from error
        if plain:
            yield plain
        data = b""
        if decoder.eof:
            data = (decoder.unused_data or file.read(_IN)).lstrip(b"\0")
            while not data and (more := file.read(_IN)):
                data = more.lstrip(b"\0")
            if not data:
                return
            decoder = new()
        elif decoder.needs_input and not (data := file.read(_IN)) and not plain:
            raise ImageCorrupt("compressed data ends before its end mark: it is cut short")


def _zstd(file: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    # A frame that is cut short ends without an error: digests and the tar reader notice that.
    decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    reader = decoder.stream_reader(file, read_size=_IN, read_across_frames=True, closefd=False)
    while True:
        try:
            plain = reader.read(_OUT)
        except zstandard.ZstdError as error:
            raise ImageCorrupt(f"compressed data is broken: {error}") from error
        if not plain:
            return
        yield plain
