"""Live answers, the queue and what becomes of a client that leaves, on a real Docker engine."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.remote_server import RemoteClient, read_reply, remote_server
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


@pytest.fixture
async def server(dockerd: Dockerd) -> AsyncIterator[RemoteClient]:
    async with remote_server(dockerd.unix, capacity=2, waiting=2, strict=True) as client:
        yield client


def running(dockerd: Dockerd, name: str) -> bool:
    found = json.loads(dockerd.request("GET", "/containers/json"))
    return any(f"/{name}" in item["Names"] for item in found)


async def until(true: Callable[[], bool]) -> None:
    """Wait for the engine, while the server goes on."""
    await asyncio.to_thread(wait_until, true, seconds=30)


def put(script: str, **fields: Any) -> dict[str, Any]:
    return {"image": "busybox", "data": ["sh", "-c", script], "remove": True, **fields}


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Yield the lines of an answer as they come, and check its head."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200"), head
    assert "application/x-ndjson" in head
    while size := int(await reader.readuntil(b"\r\n"), 16):
        for line in (await reader.readexactly(size + 2)).splitlines():
            if line:
                yield json.loads(line)


async def test_a_run_is_read_while_it_runs_and_ends_with_its_exit_code(
    server: RemoteClient, dockerd: Dockerd
) -> None:
    name = f"live-{uuid.uuid4().hex}"
    script = "echo begun; while [ ! -e /go ]; do sleep 0.05; done; echo late >&2; exit 3"
    reader, writer = await server.send("PUT", "/?stream=1", put(script, name=name))
    told = lines(reader)
    first = await anext(told)
    assert first["name"] == name
    assert await anext(told) == {"stream": "stdout", "data": "begun\n"}
    assert running(dockerd, name)
    answer = await server.ask("POST", f"/{name}", {"data": ["touch", "/go"]})
    assert answer.status == 200
    assert [line async for line in told] == [
        {"stream": "stderr", "data": "late\n"},
        {"exit_code": 3, "reason": "exited"},
    ]
    writer.close()


async def test_exec_takes_its_stdin_from_the_body_and_is_read_live(server: RemoteClient) -> None:
    name = f"exec-{uuid.uuid4().hex}"
    made = await server.ask("PUT", "/", put("exec sleep 600", name=name, detach=True))
    assert made.status == 200, made.body
    data = "h\u00e9llo\n".encode() * 20_000
    path = f"/{name}?stream=1&interactive=1&data=cat"
    headers = {"content-type": "application/octet-stream"}
    reader, writer = await server.send("POST", path, data, headers=headers)
    told = [line async for line in lines(reader)]
    writer.close()
    assert "".join(line.get("data", "") for line in told[1:]).encode() == data
    assert told[-1] == {"exit_code": 0, "reason": "exited"}
    await server.ask("DELETE", f"/{name}")


async def test_logs_are_followed_until_the_container_ends(server: RemoteClient) -> None:
    name = f"logs-{uuid.uuid4().hex}"
    script = "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two"
    await server.ask("PUT", "/", put(script, name=name, detach=True, remove=False))
    reader, writer = await server.send("GET", f"/{name}?stream=1")
    told = lines(reader)
    assert (await anext(told))["container"] == name
    assert await anext(told) == {"stream": "stdout", "data": "one\n"}
    await server.ask("POST", f"/{name}", {"data": ["touch", "/go"]})
    assert [line async for line in told] == [{"stream": "stdout", "data": "two\n"}]
    writer.close()
    await server.ask("DELETE", f"/{name}")


@pytest.mark.parametrize("path", ["/", "/?stream=1"])
async def test_a_client_that_leaves_ends_its_container(
    server: RemoteClient, dockerd: Dockerd, path: str
) -> None:
    name = f"left-{uuid.uuid4().hex}"
    _, writer = await server.send("PUT", path, put("echo x; exec sleep 600", name=name))
    await until(lambda: running(dockerd, name))
    writer.close()
    await until(lambda: not running(dockerd, name))


async def test_clients_that_leave_at_any_moment_leave_nothing(
    server: RemoteClient, dockerd: Dockerd
) -> None:
    """While they wait, while a container is made, and while it runs."""
    mark, chance = uuid.uuid4().hex, random.Random(7)

    async def asking(number: int) -> None:
        body = put("exec sleep 600", name=f"storm-{mark}-{number}")
        _, writer = await server.send("PUT", "/?stream=1" if number % 2 else "/", body)
        await asyncio.sleep(chance.random())
        writer.close()

    def left() -> list[str]:
        found = json.loads(dockerd.request("GET", "/containers/json?all=1"))
        return [name for item in found for name in item["Names"] if mark in name]

    for _ in range(3):
        await asyncio.gather(*(asking(number) for number in range(4)))
    await until(lambda: not left())
    assert await metric(server, "running") == await metric(server, "waiting") == 0


async def test_a_stream_has_the_servers_time_and_no_more(dockerd: Dockerd) -> None:
    async with remote_server(dockerd.unix, timeout=1.0) as server:
        name = f"slow-{uuid.uuid4().hex}"
        reader, writer = await server.send("PUT", "/?stream=1", put("exec sleep 600", name=name))
        told = [line async for line in lines(reader)]
        writer.close()
        assert told[-1] == {"exit_code": None, "reason": "timeout"}
        await until(lambda: not running(dockerd, name))


async def test_what_is_wrong_with_a_stream_is_told_by_its_status(server: RemoteClient) -> None:
    for method, path, body, status in (
        ("PUT", "/?stream=1", {"image": ""}, 400),
        ("PUT", "/?stream=1", put("true", detach=True), 400),
        ("PUT", "/?stream=yes please", put("true"), 400),
        ("GET", "/absent?stream=1", None, 404),
        ("POST", "/absent?stream=1", {"data": "ls"}, 404),
        ("PUT", "/?stream=1", {"image": "busybox", "data": ["no-such-program"]}, 422),
    ):
        reply = await server.ask(method, path.replace(" ", "%20"), body)
        assert reply.status == status, (method, path, reply.body)


async def metric(server: RemoteClient, name: str) -> float:
    text = (await server.ask("GET", "/metrics")).body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith(f"wherry_remote_{name} "))
    return float(line.split()[1])


async def test_runs_beyond_capacity_wait_their_turn_and_the_rest_is_sent_away(
    server: RemoteClient,
) -> None:
    names = [f"turn-{uuid.uuid4().hex}" for _ in range(2)]
    readers = []
    script = "while [ ! -e /go ]; do sleep 0.05; done; echo done"
    for number in range(4):
        body = put(script, name=names[number]) if number < 2 else put("echo done")
        readers.append(await server.send("PUT", "/", body))
        async with asyncio.timeout(30):
            while sum([await metric(server, n) for n in ("running", "waiting")]) <= number:
                await asyncio.sleep(0.02)
    full = await server.ask("PUT", "/", put("true"))
    assert full.status == 503
    assert int(full.headers["retry-after"]) >= 1
    assert await metric(server, "desired_servers") == 2
    assert await metric(server, "refused_total") == 1
    for name in names:
        async with asyncio.timeout(30):
            while (await server.ask("POST", f"/{name}", {"data": ["touch", "/go"]})).status != 200:
                await asyncio.sleep(0.05)  # it is being created
    replies = [await read_reply(reader) for reader, _ in readers]
    assert [reply.json["raw"] for reply in replies] == ["done\n"] * 4
    assert [reply.headers["x-queue-position"] for reply in replies] == ["0", "0", "1", "2"]
    for _, writer in readers:
        writer.close()


async def test_a_run_that_nobody_waits_for_is_asked_for_later(
    server: RemoteClient, dockerd: Dockerd
) -> None:
    headers = {"prefer": "respond-async"}
    asked = await server.ask("PUT", "/", put("echo later; exit 4"), headers=headers)
    assert (asked.status, asked.headers["preference-applied"]) == (202, "respond-async")
    path = asked.headers["location"]
    state: dict[str, Any] = {}

    async def ended() -> bool:
        state.update((await server.ask("GET", path)).json)
        return bool(state["state"] == "ended")

    async with asyncio.timeout(30):
        while not await ended():
            await asyncio.sleep(0.05)
    assert state["status"] == 422
    assert (state["answer"]["exit_code"], state["answer"]["stdout"]) == (4, "later\n")
    name = f"ended-{uuid.uuid4().hex}"
    body = put("exec sleep 600", name=name)
    path = (await server.ask("PUT", "/", body, headers=headers)).headers["location"]
    await until(lambda: running(dockerd, name))
    assert (await server.ask("DELETE", path)).json["status"] == 499
    await until(lambda: not running(dockerd, name))
    assert (await server.ask("GET", "/wherry/v1/runs/absent")).status == 404


async def test_who_balances_load_may_ask_without_a_token_and_learns_nothing_else(
    server: RemoteClient,
) -> None:
    nobody = RemoteClient(server.host, server.port, token=None)
    assert (await nobody.ask("GET", "/healthz")).json == {"status": "ok"}
    document = (await nobody.ask("GET", "/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    assert {"/", "/{id}", "/healthz", "/metrics"} <= document["paths"].keys()
    for path in ("/metrics", "/", "/wherry/v1/runs/x"):
        assert (await nobody.ask("GET", path)).status == 401


async def test_a_server_whose_engine_is_gone_says_that_it_is_not_well() -> None:
    async with remote_server("docker:unix:///proc/nowhere.sock") as server:
        reply = await server.ask("GET", "/healthz")
        assert reply.status == 503
        assert b"/proc" not in reply.body


async def test_a_body_that_never_comes_is_not_waited_for(
    dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.remote.app._BODY_SECONDS", 0.1)
    async with remote_server(dockerd.unix) as server:
        reader, writer = await server.send("PUT", "/", headers={"content-length": "50"})
        async with asyncio.timeout(30):
            assert (await read_reply(reader)).status == 408
        writer.close()
