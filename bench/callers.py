"""Many callers of one server at full rate, in a process of their own.

`python -m bench.callers PORT CALLERS SECONDS` prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import Counter

REQUEST = b"POST /function/upper HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nferry"
ANSWER = b"FERRY"


async def caller(port: int, until: float, took: list[float], statuses: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        began = time.monotonic()
        writer.write(REQUEST)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        took.append(time.monotonic() - began)
        status = int(head.split()[1])
        statuses[status] += 1
        if status == 200 and body != ANSWER:
            statuses[-1] += 1  # somebody else's answer
    writer.close()


async def callers(port: int, count: int, seconds: float) -> dict[str, object]:
    took: list[float] = []
    statuses: Counter[int] = Counter()
    until = time.monotonic() + seconds
    await asyncio.gather(*(caller(port, until, took, statuses) for _ in range(count)))
    cuts = statistics.quantiles(took, n=100)
    return {"calls": len(took), "seconds": seconds, "p50": cuts[49], "p99": cuts[98],
            "statuses": dict(statuses)}  # fmt: skip


if __name__ == "__main__":
    port, count, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(callers(int(port), int(count), float(seconds)))))
