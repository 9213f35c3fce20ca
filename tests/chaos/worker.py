"""A caller that is going to be killed: makes calls without end, and counts them on stdout."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from tests.chaos.ground import MIB, engine, run, shell

SCRIPTS = (
    "true",
    "sleep 0.05",
    "cat >/dev/null",
    "sleep 9 & sleep 0.02",
    "head -c 300000 /dev/zero",
    "echo x >/tmp/x; mkdir -p /a/b/c; sleep 0.01",
    "sleep 0.5",
    "setsid sleep 9 & exec >&- 2>&-; sleep 0.03",
)


async def main(home: Path, at_once: int) -> None:
    """Make calls until somebody ends us."""
    on = engine(home)
    os.write(1, b"r" * len(on.reap().containers))

    async def calls() -> None:
        while True:
            os.write(1, b"s")
            await run(on, shell(random.choice(SCRIPTS)), random.randbytes(MIB // 4))
            os.write(1, b"d")

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(calls())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
