"""Kept containers: from zero, to zero, through crashes, replacements and the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.kept_servers import deployed, open_door, server

from wherry.client import AsyncClient
from wherry.errors import Busy, StartError
from wherry.service.keeping import Keeping
from wherry.service.patience import Patience
from wherry.testing import Call, MemoryEngine

if TYPE_CHECKING:
    from wherry.models import Output
    from wherry.service.call import Call as ServedCall

QUICK = Patience(start=5, stop=2, drain=5, first_pause=0.001, longest_pause=0.01)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


Make = Callable[..., Any]


@asynccontextmanager
async def keeping(engine: MemoryEngine, directory: Path, **options: Any) -> AsyncIterator[Keeping]:
    async with AsyncClient(engine) as client:
        kept = Keeping(client, directory / "doors", **{"patience": QUICK, **options})
        try:
            async with asyncio.timeout(20):
                yield kept
        finally:
            await kept.aclose()
            assert engine.running == {}
            assert list((directory / "doors").glob("*/*")) == []


async def ask(kept: Keeping, function: Any, said: bytes = b"hello") -> bytes:
    async with kept.connection(function) as connection:
        return await exchange(connection, said)


async def exchange(connection: socket.socket, said: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, said)
    connection.shutdown(socket.SHUT_WR)
    back = b""
    while data := await loop.sock_recv(connection, 65536):
        back += data
    return back


def starts(engine: MemoryEngine) -> int:
    """Return how many containers there were: each is prepared for, and prepares itself."""
    return len(engine.prepared) // 2


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.001)


async def test_the_first_request_starts_the_container_and_all_others_share_it(
    tmp_path: Path,
) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path) as kept:
        assert not engine.running
        backs = await asyncio.gather(*(ask(kept, web, b"%d" % n) for n in range(20)))
        assert backs == [b"%d" % n for n in range(20)]
        assert len(engine.running) == 1
        assert starts(engine) == 1


async def test_an_idle_container_ends_and_the_next_request_starts_one(tmp_path: Path) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path, idle=0.01) as kept:
        for _ in range(3):
            assert await ask(kept, web) == b"hello"
            await until(lambda: not engine.running)
    assert starts(engine) == 3


async def test_a_request_that_comes_while_the_container_stops_has_the_next_one(
    tmp_path: Path,
) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path, idle=0) as kept:
        for _ in range(20):
            assert await ask(kept, web) == b"hello"


async def test_a_request_that_comes_at_the_very_end_of_a_container_has_the_next_one(
    tmp_path: Path,
) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path, idle=0.001) as kept:
        assert await ask(kept, web) == b"hello"
        one = kept._kept[web.qualified]
        while one._keeping is not None and not one._keeping.done():
            await asyncio.sleep(0)
        assert await ask(kept, web) == b"hello"  # before anybody was told of that end


async def test_a_container_in_use_does_not_end(tmp_path: Path) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path, idle=0.001) as kept:
        async with kept.connection(web) as connection:
            await asyncio.sleep(0.03)
            assert await exchange(connection, b"late") == b"late"
        assert starts(engine) == 1


async def test_a_container_that_dies_is_started_again(tmp_path: Path) -> None:
    engine, web = MemoryEngine({"web": server(echo, code=3)}), deployed()
    async with keeping(engine, tmp_path) as kept:
        for number in range(3):
            assert await ask(kept, web) == b"hello"
            await until(lambda number=number: kept.restarts(web) == number + 1)  # type: ignore[misc]


async def test_a_program_that_does_not_come_up_is_told_with_its_last_words(
    tmp_path: Path,
) -> None:
    async def fails(call: Call) -> int:
        await call.stderr.write(b"no database\n")
        return 3

    engine, web = MemoryEngine({"web": fails}), deployed()
    async with keeping(engine, tmp_path) as kept:
        with pytest.raises(StartError, match=r"exit status 3.*no database"):
            await ask(kept, web)


async def test_a_program_that_never_listens_is_given_up(tmp_path: Path) -> None:
    async def deaf(call: Call) -> None:
        with await open_door(call):
            await asyncio.sleep(60)

    engine, web = MemoryEngine({"web": deaf}), deployed(port=1234)
    patience = Patience(start=0.02, stop=0.1)
    async with keeping(engine, tmp_path, patience=patience) as kept:
        with pytest.raises(StartError, match="port 1234 within"):
            await ask(kept, web)


async def test_after_a_failure_requests_are_turned_away_until_the_next_try(
    tmp_path: Path,
) -> None:
    tries = 0

    async def fails(call: Call) -> int:
        nonlocal tries
        tries += 1
        return 1

    engine, web = MemoryEngine({"web": fails}), deployed()
    patience = Patience(first_pause=20, turned_away=1)
    async with keeping(engine, tmp_path, patience=patience) as kept:
        with pytest.raises(StartError):
            await ask(kept, web)
        with pytest.raises(Busy, match="started again in 20 s"):
            await ask(kept, web)
        assert tries == 1


async def test_a_function_that_may_not_go_to_zero_runs_from_its_deployment_on(
    tmp_path: Path,
) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed(scale_to_zero=False)
    async with keeping(engine, tmp_path, idle=0) as kept:
        kept.changed(web.qualified, web)
        await until(lambda: kept.is_up(web))
        assert await ask(kept, web) == b"hello"
        assert kept.is_up(web)


async def test_a_replaced_container_serves_its_requests_to_their_end(tmp_path: Path) -> None:
    engine = MemoryEngine({"web": server(echo)})
    old, new = deployed(), deployed()
    async with keeping(engine, tmp_path) as kept:
        async with kept.connection(old) as connection:
            kept.changed(new.qualified, new)
            assert await ask(kept, new) == b"hello"
            assert len(engine.running) == 2
            assert await exchange(connection, b"old") == b"old"
        await until(lambda: len(engine.running) == 1)


async def test_a_removed_function_has_no_container(tmp_path: Path) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path) as kept:
        await ask(kept, web)
        kept.changed(web.qualified, None)
        await until(lambda: not engine.running)


async def test_closing_in_the_middle_of_a_start_does_not_wait_for_it(tmp_path: Path) -> None:
    async def deaf(call: Call) -> None:
        with await open_door(call):
            await asyncio.sleep(60)

    engine, web = MemoryEngine({"web": deaf}), deployed()
    async with keeping(engine, tmp_path) as kept:
        asking = asyncio.create_task(ask(kept, web))
        await until(lambda: bool(engine.running))
        await kept.aclose()
        with pytest.raises(StartError, match="was stopped"):
            await asking


async def test_what_a_server_writes_goes_to_the_log_of_its_function(tmp_path: Path) -> None:
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo(reader, writer)

    async def program(call: Call) -> int | None:
        await call.stderr.write(b"listening\n")
        return await server(talks)(call)

    heard: list[tuple[str, bytes]] = []

    def wrote(call: ServedCall, output: Output) -> None:
        heard.append((call.deployed.name, output.data))

    engine, web = MemoryEngine({"web": program}), deployed()
    async with keeping(engine, tmp_path, wrote=wrote) as kept:
        await ask(kept, web)
        await until(lambda: bool(heard))
    assert heard == [("web", b"listening\n")]


def answering(*statuses: int) -> Any:
    """Return a server that answers with these statuses, the last of them for ever."""
    left = list(statuses)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        await writer.drain()

    return serve


async def test_a_server_is_up_when_it_says_that_it_is_well(tmp_path: Path) -> None:
    engine = MemoryEngine({"web": server(answering(503, 503, 204))})
    web = deployed(health="/healthz")
    async with keeping(engine, tmp_path) as kept, kept.connection(web):
        assert kept.is_up(web)


async def test_a_server_that_is_not_well_any_more_is_started_again(tmp_path: Path) -> None:
    engine = MemoryEngine({"web": server(answering(200, 500, 500, 500, 200))})
    web = deployed(health="/healthz")
    patience = Patience(first_pause=0.001, between_checks=0.001, stop=1)
    async with keeping(engine, tmp_path, patience=patience) as kept:
        async with kept.connection(web):
            pass
        await until(lambda: kept.restarts(web) == 1)
        async with kept.connection(web):
            assert kept.is_up(web)


async def test_what_a_process_that_is_gone_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "doors" / "left"
    left.mkdir(parents=True)
    (left / "lock").touch()
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path) as kept:
        await ask(kept, web)
        assert not left.exists()


async def test_doors_of_other_processes_stay(tmp_path: Path) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path) as one:
        await ask(one, web)
        other_engine = MemoryEngine({"web": server(echo)})
        async with AsyncClient(other_engine) as client:
            other = Keeping(client, tmp_path / "doors", patience=QUICK)
            await ask(other, web)
            await other.aclose()
        assert await ask(one, web) == b"hello"


async def test_scaling_does_not_restart_a_container_but_to_zero(tmp_path: Path) -> None:
    engine, web = MemoryEngine({"web": server(echo)}), deployed()
    async with keeping(engine, tmp_path) as kept:
        await ask(kept, web)
        more = replace(web, replicas=3)
        kept.changed(more.qualified, more)
        await ask(kept, more)
        assert starts(engine) == 1
        none = replace(web, replicas=0)
        kept.changed(none.qualified, none)
        await until(lambda: not engine.running)
        assert await ask(kept, none) == b"hello"
