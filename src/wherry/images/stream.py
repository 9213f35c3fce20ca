"""Bytes that arrive in pieces of any size, read by exact counts."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.errors import ImageCorrupt


class ByteStream:
    """Reads exact counts from an iterator of chunks, without joining what is only copied."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """Bytes consumed so far."""
        return self._before + self._at

    def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes, or fewer at the end of the stream."""
        end = self._at + size
        if end <= len(self._chunk):
            data = self._chunk[self._at : end]
            self._at = end
            return data
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the next ``size`` bytes as they lie in memory; fewer at the end of the stream."""
        while size > 0:
            if self._at == len(self._chunk) and not self._next():
                return
            piece = memoryview(self._chunk)[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes; raises :class:`ImageCorrupt` when there are fewer."""
        for piece in self.pieces(size):
            size -= len(piece)
        if size:
            raise ImageCorrupt(f"tar: cut short, {size} bytes are missing at {self.position}")

    def _next(self) -> bool:
        self._before += len(self._chunk)
        self._chunk = next(self._chunks, b"")
        self._at = 0
        return bool(self._chunk)


@contextmanager
def prefetched(chunks: Iterator[bytes], *, depth: int = 4) -> Iterator[Iterator[bytes]]:
    """Produce chunks in a thread, at most ``depth`` ahead; an error in there is raised here.

    Decompression and hashing release the interpreter's lock, so that they overlap with the
    writing of files.
    """
    ahead: queue.Queue[bytes | BaseException] = queue.Queue(depth)
    stopped = threading.Event()
    ended = False

    def produce() -> None:
        end: bytes | BaseException = b""
        try:
            for chunk in chunks:
                if stopped.is_set():
                    break
                ahead.put(chunk)
        except BaseException as error:  # noqa: BLE001 - it is raised again by the consumer
            end = error
        ahead.put(end)

    def take() -> bytes | BaseException:
        nonlocal ended
        item = ahead.get()
        ended = not item or isinstance(item, BaseException)
        return item

    def consume() -> Iterator[bytes]:
        while not ended and (item := take()):
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=produce, name="wherry-unpack", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        while not ended:
            take()
        thread.join()
