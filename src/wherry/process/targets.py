"""Where a process's streams come from and go to."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from typing import IO, Any

from wherry import streams
from wherry.errors import UsageError

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL

Source = int | streams.Input
"""PIPE, DEVNULL or None for an empty stdin, a descriptor, or any input of a call."""
Target = int | IO[Any] | None
"""PIPE, DEVNULL, None for our own stream, STDOUT for stderr, a descriptor or a file."""
Write = Callable[[bytes], Awaitable[None]]


def source_of(stdin: Source) -> streams.Input:
    """Return what a source other than PIPE holds. Raises :class:`UsageError`."""
    if not isinstance(stdin, int):
        return stdin
    if stdin == DEVNULL:
        return None
    if stdin < 0:
        raise UsageError(f"stdin: {stdin} is neither PIPE, DEVNULL nor a descriptor")
    return os.fdopen(stdin, "rb", buffering=0, closefd=False)


def write_to(target: Target, *, own: int) -> Write:
    """Return what takes a stream's data to a target other than PIPE. Raises :class:`UsageError`.

    ``own`` is the descriptor of our own stream, which None stands for.
    """
    if target == DEVNULL:
        return _drop
    if target is None:
        target = own
    if isinstance(target, int):
        if target < 0:
            raise UsageError(f"{target} is neither PIPE, DEVNULL nor a descriptor")
        return _writing_to(target)
    if not callable(getattr(target, "write", None)):
        raise UsageError(f"{target!r} is neither PIPE, DEVNULL, a descriptor nor a file")
    return _writing_into(target)


async def _drop(data: bytes) -> None:
    """Forget data."""


def _writing_to(fd: int) -> Write:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    async def in_thread(data: bytes) -> None:
        await asyncio.to_thread(write, data)

    return in_thread


def _writing_into(file: IO[Any]) -> Write:
    decoder = streams.Decoder() if hasattr(file, "encoding") else None

    def write(data: bytes) -> None:
        file.write(decoder.feed(data) if decoder else data)
        file.flush()

    async def in_thread(data: bytes) -> None:
        await asyncio.to_thread(write, data)

    return in_thread
