"""Waiting for something to do."""

from __future__ import annotations

import asyncio


async def woken(event: asyncio.Event, *, within: float) -> None:
    """Wait for an event, at most so many seconds."""
    if event.is_set():
        return
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return
