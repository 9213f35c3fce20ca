"""What stands between two stages: room for one chunk, and who is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Generic, TypeVar

from wherry import streams

T = TypeVar("T")


class Joint(AsyncIterator[T], Generic[T]):
    """Hands one item at a time from its writers to its reader."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._ended = False
        self._left = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    async def put(self, item: T) -> bool:
        """Hand an item over when there is room for it; False when its reader has left."""
        while self._items and not self._left:
            self._emptied.clear()
            await self._emptied.wait()
        if self._left:
            return False
        self._items.append(item)
        self._filled.set()
        return True

    def end(self) -> None:
        """Say that there is no more: the reader comes to an end after what is still here."""
        self._ended = True
        self._filled.set()

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        item = self._items.pop()
        self._emptied.set()
        return item

    async def aclose(self) -> None:
        """Leave: nothing is read any more."""
        self._left = True
        self._items.clear()
        self._emptied.set()


class Input(AsyncIterator[bytes]):
    """The caller's own input, and whether it is waited for.

    ``unwanted`` is asked before each pull; when it says so, the input is silent from then on:
    its end would say that all of it was read.
    """

    def __init__(self, source: AsyncIterable[bytes], *, unwanted: Callable[[], bool]) -> None:
        self._source = aiter(source)
        self._unwanted = unwanted
        self.is_awaited = False

    async def __anext__(self) -> bytes:
        if self._unwanted():
            await asyncio.get_running_loop().create_future()
        self.is_awaited = True
        try:
            return await anext(self._source)
        finally:
            self.is_awaited = False

    async def aclose(self) -> None:
        """Leave the source."""
        await streams.close(self._source)
