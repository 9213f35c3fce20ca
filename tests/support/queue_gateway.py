"""A whole gateway with its queue, over functions that are coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.asgi import Asgi
from tests.support.queueing import Queueing, queueing

from wherry.calls import FunctionLogs
from wherry.triggers.http.app import gateway
from wherry.triggers.http.parts import Parts


@asynccontextmanager
async def queue_gateway(directory: Path, **options: Any) -> AsyncIterator[tuple[Asgi, Queueing]]:
    """Open one for the block; ``options`` are those of :func:`queueing`."""
    logs = FunctionLogs(directory)
    async with queueing(directory, observers=(logs,), **options) as on:
        functions: Any = on.declared
        parts = Parts(service=on.service, functions=functions, calls=on.store, logs=logs)
        yield Asgi(gateway(parts)), on
    await logs.aclose()
    await asyncio.sleep(0)
