"""Every kind of input as the one thing that an engine pulls."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import IO, cast

from wherry.errors import UsageError
from wherry.models import CHUNK
from wherry.streams.files import file_chunks
from wherry.streams.pulling import close, pulled

Input = (
    None
    | str
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | IO[str]
    | Iterable[bytes | str]
    | AsyncIterable[bytes | str]
)
"""What a call accepts as stdin; :func:`source` makes one thing of it."""


class _Nothing(AsyncIterator[bytes]):
    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


NOTHING: AsyncIterator[bytes] = _Nothing()
"""The source of a call without input: it ends at once, as often as it is asked."""


def source(data: Input) -> AsyncIterable[bytes]:
    """Turn any input into the source that an engine pulls.

    Text is sent as UTF-8. Files and other blocking iterables are read outside of the event loop,
    one chunk at a time and only when the engine asks. A binary pipe, socket or terminal sends
    what is there; nothing waits until 64 KiB have come together. The file stays open and belongs
    to the caller. Raises :class:`UsageError` for anything that holds no bytes.
    """
    if data is None:
        return NOTHING
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return _Slices(memoryview(data).cast("B")) if data else NOTHING
    if isinstance(data, AsyncIterable):
        return _checked(data)
    if callable(getattr(data, "read", None)):
        return _checked(file_chunks(cast("IO[bytes] | IO[str]", data)))
    if isinstance(data, Iterable):
        return _checked(pulled(data))
    raise UsageError(
        f"input must be text, bytes, a file or an iterable of those, not {type(data).__name__}"
    )


class _Slices(AsyncIterator[bytes]):
    """Not a generator: nothing has to be finished when an engine stops in the middle."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    async def __anext__(self) -> bytes:
        data = bytes(self._view[self._at : self._at + CHUNK])
        if not data:
            raise StopAsyncIteration
        self._at += len(data)
        return data


async def _checked(chunks: AsyncIterable[object]) -> AsyncIterator[bytes]:
    iterator = aiter(chunks)
    try:
        async for chunk in iterator:
            if data := _as_bytes(chunk):
                yield data
    finally:
        await close(iterator)


def _as_bytes(chunk: object) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise UsageError(f"input must yield bytes or text, not {type(chunk).__name__}: {chunk!r:.80}")
