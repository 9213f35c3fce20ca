"""Exit codes from events: told early, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wherry.engines.docker.address import Address
from wherry.engines.docker.client import DockerClient
from wherry.engines.docker.deaths import Deaths, Watch

HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


class Engine:
    """An engine that only has events, and a sign of life."""

    def __init__(self) -> None:
        self.streams: list[asyncio.StreamWriter] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task
        self._tasks.append(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/events" in head:
                    self.streams.append(writer)
                writer.write(HEAD if b"/events" in head else PING)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def tell(self, **event: object) -> None:
        line = json.dumps({"time": 1, **event}).encode() + b"\n"
        self.streams[-1].write(b"%x\r\n%s\r\n" % (len(line), line))

    async def crash(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)


def died(id_: str, code: str) -> dict[str, object]:
    return {"Action": "die", "Actor": {"ID": id_, "Attributes": {"exitCode": code}}}


@asynccontextmanager
async def watched(tmp_path: Path) -> AsyncIterator[tuple[Engine, Deaths, Watch]]:
    engine, path = Engine(), tmp_path / "engine.sock"
    server = await asyncio.start_unix_server(engine, path)
    client = DockerClient(Address(scheme="unix", path=str(path)))
    deaths = Deaths(client)
    try:
        yield engine, deaths, await deaths.watch()
    finally:
        await deaths.aclose()
        await client.aclose()
        await engine.crash()
        server.close()


def never() -> asyncio.Task[int]:
    async def wait() -> int:
        await asyncio.Event().wait()
        raise AssertionError

    return asyncio.create_task(wait())


async def test_a_code_is_told_to_who_expects_it_and_nothing_else_is(tmp_path: Path) -> None:
    async with watched(tmp_path) as (engine, deaths, watch):
        death, wait = watch.expect("a"), never()
        engine.tell(**died("b", "1"))
        engine.tell(**(died("a", "2") | {"Action": "exec_die"}))
        engine.tell(**died("a", "no number"))
        engine.tell(**died("a", "7"))
        engine.tell(**died("a", "8"))
        assert await death.told_before(wait) == 7
        assert await deaths.watch() is watch
        assert await watch.is_alive()
        wait.cancel()


async def test_an_engine_that_crashed_tells_nothing_although_it_had(tmp_path: Path) -> None:
    async with watched(tmp_path) as (engine, deaths, watch):
        death, other, wait = watch.expect("a"), watch.expect("b"), never()
        engine.tell(**died("a", "0"))
        await asyncio.wait([death.code])
        await engine.crash()
        assert await death.told_before(wait) is None
        assert await other.told_before(wait) is None
        assert watch.expect("c").code.cancelled()
        newer = await deaths.watch()
        assert newer is not watch
        assert await newer.is_alive()
        assert not await watch.is_alive()
        wait.cancel()


async def test_an_answer_to_the_wait_that_is_first_is_taken(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, _, watch):
        death, wait = watch.expect("a"), asyncio.create_task(asyncio.sleep(0, 3))
        assert await death.told_before(wait) is None
        death.forget()
        assert await death.told_before(never()) is None


async def test_signs_of_life_are_asked_for_one_after_the_other(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, _, watch):
        assert await asyncio.gather(*(watch.is_alive() for _ in range(5))) == [True] * 5


async def test_who_stops_asking_for_a_sign_of_life_leaves_nothing_open(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, deaths, watch):
        asking = asyncio.create_task(watch.is_alive())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not await watch.is_alive()
        await deaths.aclose()
        await deaths.aclose()
