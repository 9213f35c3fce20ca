"""Stream zeros through `cat` in a container: `python -m bench.streaming DATA_DIR MIB`.

A process of its own, so that its memory is that of the stream alone. Prints JSON: ``seconds`` of
the call, and ``growth``, the bytes its peak resident size rose over that before the call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.harness import MIB
from bench.memory import resident

from wherry import AsyncClient, Output
from wherry.engines import connect

CHUNK = bytes(64 * 1024)


async def zeros(mib: int) -> AsyncIterator[bytes]:
    for _ in range(mib * MIB // len(CHUNK)):
        yield CHUNK


async def stream(client: AsyncClient, mib: int) -> None:
    received = 0
    async with client.start("busybox:latest", ["cat"], input=zeros(mib)) as container:
        async for event in container:
            if isinstance(event, Output):
                received += len(event.data)
    if received != mib * MIB:
        raise SystemExit(f"{received} bytes came back of {mib * MIB}")


async def main(data: str, mib: int) -> None:
    async with AsyncClient(connect(f"local:{data}")) as client:
        await stream(client, 1)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = resident("VmRSS")
        began = time.perf_counter()
        await stream(client, mib)
        seconds = time.perf_counter() - began
        sys.stdout.write(json.dumps({"seconds": seconds, "growth": resident("VmHWM") - before}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
