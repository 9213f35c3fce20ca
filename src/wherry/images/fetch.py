"""Getting one blob from a registry into the store, from where the last attempt left off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.errors import ImageCorrupt, RegistryError
from wherry.images.retries import Backoff, Retries, Transient
from wherry.images.threads import entered, in_thread

if TYPE_CHECKING:
    from wherry.images.blobs import BlobStore, BlobWriter
    from wherry.images.model import Descriptor
    from wherry.images.registry import Registry
    from wherry.images.transport import Response

_WORTH = 64 * 1024
"""Bytes that make an attempt count as progress."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

_BEHIND = 1024 * 1024
"""Bytes that may wait to be written."""

Report = Callable[[int], None]


async def fetch_blob(
    registry: Registry,
    descriptor: Descriptor,
    *,
    into: BlobStore,
    retries: Retries,
    report: Report,
) -> None:
    """Have a blob in a store, verified; whoever else fetches it is waited for.

    ``report`` is told the bytes that are here. Raises ImageCorrupt when the registry's content
    is not what its digest says, and what :class:`Registry` raises.
    """
    if await _fetch(registry, descriptor, into=into, retries=retries, report=report):
        return
    # What an earlier pull had left was not right; without it there is nobody else to blame.
    if not await _fetch(registry, descriptor, into=into, retries=retries, report=report):
        raise ImageCorrupt(f"blob {descriptor.digest} was changed here while it was fetched")


async def _fetch(
    registry: Registry,
    descriptor: Descriptor,
    *,
    into: BlobStore,
    retries: Retries,
    report: Report,
) -> bool:
    """Return False when bytes of an earlier pull turned out to be wrong and are gone now."""
    async with entered(into.begin(descriptor)) as writer:
        if writer.done:
            return True
        resumed = writer.offset > 0
        backoff = Backoff(retries)
        while writer.offset < descriptor.size:
            before = writer.offset
            try:
                restarted = await _receive(registry, writer, report)
            except Transient as problem:
                if writer.offset - before >= _WORTH:
                    backoff.reset()
                await backoff.pause(problem)
            else:
                resumed = resumed and not restarted
        try:
            await in_thread(writer.commit)
        except ImageCorrupt:
            if not resumed:
                raise
            return False
        return True


async def _receive(registry: Registry, writer: BlobWriter, report: Report) -> bool:
    """Receive what is missing, or a part of it; return whether it began from the start."""
    descriptor, begun = writer.descriptor, writer.offset
    response = await registry.blob(descriptor.digest, offset=begun)
    async with response:
        if response.status == 416 and begun:
            await in_thread(writer.restart)
            return True
        restarted = begun > 0 and response.status == 200
        if restarted:
            await in_thread(writer.restart)
        _check_lengths(response, writer)
        report(writer.offset)
        sink = _Sink(writer, report)
        try:
            async for data in response.chunks():
                await sink.put(data)
        finally:
            await sink.finish()
    if writer.offset < descriptor.size:
        raise Transient(
            ImageCorrupt(
                f"blob {descriptor.digest} ended after {writer.offset} of {descriptor.size} bytes"
            )
        )
    return restarted


class _Sink:
    """Writes beside the reading, so that all that came is kept when the connection breaks."""

    def __init__(self, writer: BlobWriter, report: Report) -> None:
        self._writer = writer
        self._report = report
        self._waiting: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, data: bytes) -> None:
        """Have some bytes written; waits when there is too much to write already."""
        self._waiting.append(data)
        if sum(map(len, self._waiting)) >= _BEHIND or (self._task and self._task.done()):
            await self.finish()
        if self._waiting and self._task is None:
            self._task = asyncio.create_task(self._write())

    async def finish(self) -> None:
        """Wait until everything is written; raises what the writing raised."""
        task, self._task = self._task, None
        if task:
            await task

    async def _write(self) -> None:
        while self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            await in_thread(self._writer.write, data)
            self._report(self._writer.offset)


def _check_lengths(response: Response, writer: BlobWriter) -> None:
    """Refuse an answer that says beforehand that it is not the blob, or not the part of it."""
    size, length = writer.descriptor.size, response.headers.get("Content-Length", "")
    if response.status != 200:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != writer.offset:
            raise RegistryError(f"{response.host} sent another range than it was asked for")
        length = match[2]
    if length.isdecimal() and int(length) != size:
        raise ImageCorrupt(
            f"blob {writer.descriptor.digest} should have {size} bytes, "
            f"but {response.host} has {length}"
        )
