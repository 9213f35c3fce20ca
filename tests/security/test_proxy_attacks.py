"""Attacks on a scoped socket that are no single request: races, pipelines, costs, and leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.proxying import SHOWN, House, house_on

from wherry.proxy.policy import strict_json
from wherry.proxy.policy.check import decide
from wherry.proxy.policy.model import Denied, Policy, TenantView

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

SECONDS = 30.0
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


@pytest.fixture
async def house(dockerd: Dockerd) -> AsyncIterator[House]:
    async with house_on(dockerd) as house:
        yield house
    while _writers:
        _writers.pop().close()


_writers: list[asyncio.StreamWriter] = []


class Peer:
    """A client that writes what it wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def ask(self, line: str, *, body: bytes = b"", more: str = "", length: int = -1) -> None:
        size = len(body) if length < 0 else length
        head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{more}\r\n"
        self.writer.write(head.encode() + body)

    async def answer(self) -> tuple[int, Any]:
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            lengths = [line for line in lines if line.startswith("content-length:")]
            size = int(lengths[0].partition(":")[2]) if lengths else 0
            body = await self.reader.readexactly(size)
        return int(head.split(b" ")[1]), json.loads(body or b"null")


async def peer(socket: Path) -> Peer:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    _writers.append(writer)
    return Peer(reader, writer)


async def made(house: House, socket: Path, *command: str) -> str:
    said = await house.docker(socket, "create", "-i", "busybox", *command)
    return said.text.strip()


def tar_of(name: str, data: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return held.getvalue()


@pytest.mark.root
async def test_a_container_is_not_started_in_the_middle_of_a_copy(house: House) -> None:
    """CVE-2026-41568 and its like are races between a copy and what runs in the container."""
    socket = await house.add("ci", SHOWN + 'copy_in = "stopped"\n')
    container = await made(house, socket, "sh", "-c", "cat /tmp/x")
    tar = tar_of("x", b"copied " * 100_000)
    copying, starting = await peer(socket), await peer(socket)
    path = f"/v1.41/containers/{container}"
    copying.ask(f"PUT {path}/archive?path=/tmp", body=tar[:4096], length=len(tar))
    await asyncio.sleep(0.2)  # whatever it does, the order below must come out
    starting.ask(f"POST {path}/start")
    started = asyncio.create_task(starting.answer())
    await asyncio.wait([started], timeout=0.3)
    if started.done():  # it was first, so the copy must be refused
        copying.writer.write(tar[4096:])
        assert (await copying.answer())[0] == 403
        return
    copying.writer.write(tar[4096:])
    assert (await copying.answer())[0] == 200
    assert (await started)[0] == 204
    said = await house.docker(socket, "logs", "-f", container)
    assert said.text.startswith("copied copied")


@pytest.mark.root
async def test_a_copy_that_was_begun_before_a_start_is_refused_after_it(house: House) -> None:
    socket = await house.add("ci", SHOWN + 'copy_in = "stopped"\n')
    container = await made(house, socket, "sleep", "99")
    tar = tar_of("x", b"too late")
    copying, starting = await peer(socket), await peer(socket)
    path = f"/v1.41/containers/{container}"
    copying.ask(f"PUT {path}/archive?path=/tmp", body=tar[:300], length=len(tar))
    await asyncio.sleep(0.1)  # whatever it does, it must not have been let through by then
    starting.ask(f"POST {path}/start")
    assert (await starting.answer())[0] == 204
    copying.writer.write(tar[300:])
    assert (await copying.answer())[0] == 403


@pytest.mark.root
async def test_what_is_sent_behind_a_refused_attach_is_filtered_again(house: House) -> None:
    socket = await house.add("ci")
    client = await peer(socket)
    client.ask(f"POST /v1.41/containers/{'a' * 64}/attach?stream=1&stdin=1", more=UPGRADE)
    client.ask(
        "POST /v1.41/containers/create",
        body=b'{"Image":"busybox","HostConfig":{"Privileged":true}}',
    )
    client.ask("GET /v1.41/containers/json?all=1")
    assert (await client.answer())[0] == 404
    assert (await client.answer())[0] == 403
    assert await client.answer() == (200, [])


@pytest.mark.root
async def test_what_is_sent_behind_an_exec_is_input_and_no_request(house: House) -> None:
    socket = await house.add("ci")
    container = (await house.docker(socket, "run", "-d", "busybox", "sleep", "99")).text.strip()
    client = await peer(socket)
    body = json.dumps({"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True}).encode()
    client.ask(f"POST /v1.41/containers/{container}/exec", body=body)
    _, exec_ = await client.answer()
    inner = b"DELETE /v1.41/containers/%b?force=1 HTTP/1.1\r\nHost: x\r\n\r\n" % container.encode()
    client.ask(f"POST /v1.41/exec/{exec_['Id']}/start", body=b'{"Tty":true}', more=UPGRADE)
    client.writer.write(inner)
    client.writer.write_eof()
    async with asyncio.timeout(SECONDS):
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert inner in await client.reader.read()
    assert [each["State"] for each in house.containers("ci")] == ["running"]


@pytest.mark.root
async def test_a_stream_of_events_tells_nothing_of_another_tenant(house: House) -> None:
    socket, other = await house.add("ci"), await house.add("victim")
    client = await peer(socket)
    client.ask("GET /v1.41/events")
    async with asyncio.timeout(SECONDS):
        await client.reader.readuntil(b"\r\n\r\n")
    theirs = await made(house, other, "true")
    await house.docker(other, "volume", "create", "secret-volume")
    await house.docker(other, "network", "create", "secret-network")
    await house.docker(other, "tag", "busybox", "secret-image")
    await house.docker(other, "rm", theirs)
    mine = await made(house, socket, "true")
    async with asyncio.timeout(SECONDS):
        seen = await client.reader.readuntil(mine.encode())
    assert theirs.encode() not in seen
    assert b"secret" not in seen


@pytest.mark.root
async def test_one_of_many_creates_gets_a_name(house: House) -> None:
    socket = await house.add("ci")
    clients = [await peer(socket) for _ in range(8)]
    for client in clients:
        client.ask("POST /v1.41/containers/create?name=one", body=b'{"Image":"busybox"}')
    answers = [await client.answer() for client in clients]
    assert sorted(status for status, _ in answers) == [201] + [409] * 7
    assert len(house.containers("ci")) == 1


@pytest.mark.root
async def test_updates_at_one_time_leave_counted_what_the_engine_gives(house: House) -> None:
    """Else the greater one of two could stay with the engine, and the lesser one be counted."""
    socket = await house.add("ci")
    id_ = await made(house, socket, "sleep", "9")
    clients = [await peer(socket) for _ in range(12)]
    for number, client in enumerate(clients):
        size = (20 + number * 7 % 12 * 10) * 1024 * 1024
        body = json.dumps({"Memory": size, "MemorySwap": size}).encode()
        client.ask(f"POST /v1.41/containers/{id_}/update", body=body)
        client.ask(f"POST /v1.41/containers/{id_}/rename?name=n{number}")
    for client in clients:
        assert [(await client.answer())[0], (await client.answer())[0]] == [200, 204]
    described = house.direct("GET", f"/containers/{id_}/json")
    (owned,) = house.proxy.registry.owned("ci", "container")
    assert described["HostConfig"]["Memory"] == owned.amounts.memory
    assert described["Name"] == f"/ci.{owned.name}"


@pytest.mark.root
async def test_the_end_of_a_tenant_is_the_end_of_its_streams(house: House) -> None:
    socket = await house.add("ci")
    container = await made(house, socket, "sleep", "99")
    await house.docker(socket, "start", container)
    attached, following = await peer(socket), await peer(socket)
    attached.ask(f"POST /v1.41/containers/{container}/attach?stream=1&stdin=1", more=UPGRADE)
    following.ask("GET /v1.41/events")
    async with asyncio.timeout(SECONDS):
        await attached.reader.readuntil(b"\r\n\r\n")
        await following.reader.readuntil(b"\r\n\r\n")
        await house.proxy.end("ci")
        assert await attached.reader.read() == b""
        await following.reader.read()
    assert not socket.exists()
    assert house.containers("ci") == []


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("containers/create", {"Image": "busybox", "Labels": {"a": "<" * 20_000}}),
        ("containers/create", {"Image": "busybox", "Cmd": ["<" * 70_000]}),
        ("networks/create", {"Name": "net", "Labels": {"a": "<" * 20_000}}),
        ("volumes/create", {"Name": "vol", "Labels": {"a": "<" * 20_000}}),
        (f"containers/{'1' * 64}/exec", {"Cmd": ["<" * 70_000]}),
    ],
)
def test_what_the_engine_tells_everybody_cannot_be_made_large(
    target: str, body: dict[str, object]
) -> None:
    """Each ``<`` is six bytes in an event, and an event too large ended others' streams."""
    tenant = TenantView("attacker", Policy(images=("busybox",)), network="9" * 64)
    with pytest.raises(Denied) as denied:
        decide("POST", f"/v1.41/{target}".encode(), body=json.dumps(body).encode(), tenant=tenant)
    assert denied.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b"".join(b'"%d":1,' % number for number in range(80_000)) + b'"79999":1}',
        b"{" + b'"a":1,' * 150_000 + b'"a":1}',
        json.dumps({f"{number}": 1 for number in range(80_000)}).encode(),
        json.dumps([0] * 300_000).encode(),
        b"[" * 500_000,
        b'{"a":' * 200_000,
        b"9" * 900_000,
        b"0." + b"9" * 900_000,
    ],
    ids=["last key twice", "one key", "keys", "list", "arrays", "objects", "digits", "fraction"],
)
def test_a_hostile_body_costs_little_time(body: bytes) -> None:
    """Its keys were once compared each with each, which took minutes."""
    began = time.process_time()
    with contextlib.suppress(Denied):
        strict_json.parse(body)
    assert time.process_time() - began < 5
