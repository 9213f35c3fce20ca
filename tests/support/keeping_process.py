"""A process that keeps a server on a Docker engine until it is killed: ENGINE DIRECTORY."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.kept_servers import deployed

from wherry.client import AsyncClient
from wherry.engines import connect
from wherry.models import Function
from wherry.service.keeping import Keeping


async def keep(engine: str, directory: Path) -> None:
    command = ("httpd", "-f", "-p", "127.0.0.1:8080")
    function = Function(name="web", image="busybox", command=command)
    web = dataclasses.replace(deployed(port=8080), function=function)
    async with AsyncClient(connect(engine)) as client:
        keeping = Keeping(client, directory)
        async with keeping.connection(web):
            print("up", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(keep(sys.argv[1], Path(sys.argv[2])))
