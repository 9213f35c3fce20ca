"""Deploys for ever, and says what was kept: to be killed in the middle of it."""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import suppress
from pathlib import Path

from wherry.errors import AlreadyExists
from wherry.functions.model import Deployment
from wherry.functions.store import FunctionStore

FUNCTIONS = 20


async def main(folder: Path, start: int) -> None:
    store = await FunctionStore.open(folder)
    with suppress(AlreadyExists):
        await store.secrets.create("key", b"")
    for number in itertools.count(start):
        name = f"f{number % FUNCTIONS}"
        env = {"NUMBER": str(number), "FILLING": "x" * 2000}
        await store.deploy(Deployment(service=name, image="busybox", env_vars=env, secrets=["key"]))
        await store.secrets.replace("key", b"%d\n" % number * 5000)
        if number % 7 == 0:
            await store.remove(name)
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
