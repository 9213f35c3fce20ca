"""Cleaning up that a cancellation cannot cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def finish(cleaning: Coroutine[Any, Any, None]) -> None:
    """Run to the end even if the caller is cancelled meanwhile; then let it be cancelled.

    The coroutine bounds its own time. Raises what it raises.
    """
    task = asyncio.ensure_future(cleaning)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        cancelled.__context__ = task.exception() or cancelled.__context__
        raise cancelled
    task.result()
