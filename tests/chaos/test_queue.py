"""A server is killed with -9 at random moments during 500 queued calls, and started again."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.chaos.ground import engine
from tests.support.probes.running import identities, place

from wherry.engines.local import marker

CALLS = 500
LARGE = 100_000
KILLS = 12
SCRIPT = "tr a-z A-Z; usleep $((RANDOM % 600))000"
PATIENCE = 120.0


@dataclass
class Server:
    """One server after another in the same directory."""

    home: Path
    pids: set[int] = field(default_factory=set)
    kills: int = 0
    said: str = ""
    _process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> str:
        return str(self.home / "gateway.sock")

    async def start(self) -> None:
        with (self.home / "serve.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "wherry", "serve", "--no-auth", "--no-access-log",
                "--engine", "local", "--workers", "16", "--listen", f"unix:{self.socket}",
                env={**os.environ, "WHERRY_DATA_DIR": str(self.home / "data")},
                stdin=asyncio.subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self.pids.add(self._process.pid)

    async def kill(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, (self.home / "serve.log").read_text()
        self._process.kill()
        assert await self._process.wait() == -9, (self.home / "serve.log").read_text()
        self.kills += 1

    async def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        assert await self._process.wait() == 0, (self.home / "serve.log").read_text()


class Caller:
    """Asks whichever server there is, again and again until it answers."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(
        self, method: str, path: str, *, data: Any = None, **headers: str
    ) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        while True:
            try:
                async with self._session.request(
                    method, f"http://gateway{path}", data=data, headers=named
                ) as answer:
                    return answer.status, await answer.read()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.02)

    async def json(self, path: str) -> Any:
        import json

        status, body = await self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)


@asynccontextmanager
async def listener(told: Counter[str]) -> AsyncIterator[str]:
    """Take callbacks, and count them."""

    async def take(request: web.Request) -> web.Response:
        told[request.headers["X-Call-Id"]] += 1
        await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_post("/told", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/told"
    finally:
        await runner.cleanup()


def body_of(number: int) -> bytes:
    text = f"call number {number} "
    return (text * (LARGE // len(text)) if number % 20 == 0 else text).encode()


async def fill(caller: Caller, callback: str) -> None:
    """Queue every call; one whose answer was lost is asked for again under its id."""
    numbers = iter(range(CALLS))

    async def some() -> None:
        for number in numbers:
            headers = {"X_Call_Id": f"call-{number}"}
            if number % 10 == 0:
                headers["X_Callback_Url"] = callback
            status, said = await caller.ask(
                "POST", "/async-function/work", data=body_of(number), **headers
            )
            assert status in (202, 409), said  # 409: its first answer was lost, the call was not
            await asyncio.sleep(random.uniform(0, 0.2))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(some())


async def drained(caller: Caller, told: Counter[str]) -> None:
    """Wait until every call has ended and everybody is told."""
    while True:
        waiting = await caller.json("/system/calls?state=queued&limit=1")
        running = await caller.json("/system/calls?state=running&limit=1")
        if not waiting and not running and len(told) >= CALLS // 10:
            return
        await asyncio.sleep(0.1)


async def kills(server: Server) -> None:
    """Kill servers at any moment of their lives, their starts included."""
    while server.kills < KILLS:
        await asyncio.sleep(random.uniform(0.3, 4.0))
        await server.kill()
        await server.start()


@pytest.mark.timeout(2 * PATIENCE)
async def test_killed_servers_lose_no_queued_call_and_end_each_one_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: Counter[str] = Counter()
    with place(identities()[0]) as home:
        engine(home)  # which makes the image
        server = Server(home)
        await server.start()
        connector = aiohttp.UnixConnector(path=server.socket)
        async with (
            asyncio.timeout(PATIENCE),
            listener(told) as callback,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            caller = Caller(session)
            await deploy(caller)
            async with asyncio.TaskGroup() as group:
                group.create_task(kills(server))
                group.create_task(fill(caller, callback))
            await drained(caller, told)
            interrupted = await check(caller, server)
        await server.stop()
        left = [one for one in marker.sightings() if one.marker.owner.pid in server.pids]
        assert left == []
        check_files(home)
    with capsys.disabled():
        print(f"\n{server.kills} kills, {interrupted} runs cut short, {sum(told.values())} told")


async def deploy(caller: Caller) -> None:
    import json

    document = {"service": "work", "image": "busybox", "command": ["sh", "-c", SCRIPT]}
    status, said = await caller.ask(
        "POST", "/system/functions", data=json.dumps(document), Content_Type="application/json"
    )
    assert status == 202, said


async def check(caller: Caller, server: Server) -> int:
    """Every call is there once, done, with its result; no run was begun beside another one."""
    records = await caller.json("/system/calls?limit=1000&trigger=async")
    assert Counter(record["id"] for record in records) == Counter(
        f"call-{number}" for number in range(CALLS)
    )
    odd = [record for record in records if record["state"] != "done" or record["status"] != 200]
    assert odd == []
    for record in records:
        # Each try but the last was ended by the end of its server, and by nothing else.
        assert record["attempts"] == 1 + record.get("interruptions", 0), record
        assert record.get("interruptions", 0) <= server.kills
    for number in range(CALLS):
        status, result = await caller.ask("GET", f"/system/calls/call-{number}/result")
        assert (status, result) == (200, body_of(number).upper())
    return sum(record.get("interruptions", 0) for record in records)


def check_files(home: Path) -> None:
    """The only files are the large results: no body, no half of one, no dead owner."""
    place = home / "data" / "state" / "calls"
    sizes = Counter(path.stat().st_size for path in (place / "payloads").iterdir())
    assert sizes == Counter(len(body_of(number)) for number in range(0, CALLS, 20))
    assert list((place / "owners").iterdir()) == []
