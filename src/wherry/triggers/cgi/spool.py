"""A body whose length nobody knows, stored until it is known."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable, AsyncIterator

from wherry.models import CHUNK
from wherry.web.duplex import too_large

IN_MEMORY = 1024 * 1024
"""Bytes that stay in memory; what is larger is a file without a name."""


class Spool:
    """Takes a source to its end, and is a source itself then; iterating it closes it."""

    def __init__(self, *, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115

    async def fill(self, source: AsyncIterable[bytes]) -> None:
        """Store it; raises :class:`wherry.web.duplex.BodyTooLarge`, then closed."""
        try:
            async for data in source:
                self.size += len(data)
                if self.size > self._limit:
                    raise too_large(self._limit)
                await self._write(data)
        except BaseException:
            self._file.close()
            raise
        self._file.seek(0)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._read():
                yield data
        finally:
            self._file.close()

    async def aclose(self) -> None:
        """Forget what is stored."""
        self._file.close()

    async def _read(self) -> bytes:
        if self.size <= IN_MEMORY:
            return self._file.read(CHUNK)
        return await asyncio.to_thread(self._file.read, CHUNK)

    async def _write(self, data: bytes) -> None:
        if self.size <= IN_MEMORY:
            self._file.write(data)
        else:
            await asyncio.to_thread(self._file.write, data)
